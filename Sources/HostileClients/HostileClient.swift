/// One kind of hostile or broken client: its name, the answer to it, and its behaviour.
///
/// Tests compare the answers, and check a neighbouring client in the meantime; a benchmark repeats
/// each behaviour and measures the neighbour.
package struct HostileClient: Sendable, CustomStringConvertible {
  /// The name in docs/reports/hostile-clients.md.
  package let name: String
  package let answered: Outcome
  /// The kind of service that it attacks.
  package let service: Service
  private let body: @Sendable (Target) throws -> Outcome

  package enum Service: Sendable {
    /// Every user who may open its socket may do everything.
    case open
    /// It has an access file.
    case guarded
  }

  init(
    _ name: String, _ answered: Outcome, on service: Service = .open,
    _ body: @escaping @Sendable (Target) throws -> Outcome
  ) {
    self.name = name
    self.answered = answered
    self.service = service
    self.body = body
  }

  package var description: String { name }

  /// Acts once, and returns the outcome.
  package func perform(_ target: Target) throws -> Outcome { try body(target) }
}
