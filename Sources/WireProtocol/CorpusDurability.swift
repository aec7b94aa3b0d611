/// When what was acknowledged is on disk, as the wire has it: `durability` and `durability_ms` of
/// `corpus.create`.
public enum CorpusDurability: Equatable, Sendable {
  /// Before it is acknowledged.
  case commit
  /// At most so many milliseconds after.
  case interval(millis: Int)

  public static let millisRange = 1...60_000
  public static let millisDefault = 100

  /// The mode as the wire spells it.
  public var mode: String {
    switch self {
    case .commit: "commit"
    case .interval: "interval"
    }
  }

  /// nil where nothing waits.
  public var millis: Int? {
    if case .interval(let millis) = self { millis } else { nil }
  }

  /// The two members as they are read, in any order.
  struct Reader {
    private var isInterval: Bool?
    private var millis: Int?

    mutating func readMode(_ member: Member) throws(WireError) {
      switch member.value.string {
      case "commit": try member.set(&isInterval, false)
      case "interval": try member.set(&isInterval, true)
      default: throw member.wrong("\"commit\" or \"interval\"")
      }
    }

    mutating func readMillis(_ member: Member) throws(WireError) {
      try member.set(&millis, member.integer(CorpusDurability.millisRange))
    }

    func durability() throws(WireError) -> CorpusDurability {
      if isInterval == true {
        return .interval(millis: millis ?? CorpusDurability.millisDefault)
      }
      if millis == nil { return .commit }
      throw WireError(
        .invalidParams,
        "params.durability_ms has a meaning with durability \"interval\" only; give both, or neither",
        ["member": .text("params.durability_ms")])
    }
  }

  /// Reads what an answer tells; nothing is `commit`.
  init(result: ResultObject) {
    self =
      result.string("durability") == "interval"
      ? .interval(millis: result.integer("durability_ms") ?? Self.millisDefault) : .commit
  }

  /// Writes the members that there are, as a request has them.
  func write(to writer: inout JSONWriter) {
    writer.name("durability")
    writer.string(mode)
    if let millis {
      writer.name("durability_ms")
      writer.integer(millis)
    }
  }

  /// Writes both members, null for no milliseconds, as an answer has them.
  func writeAll(to writer: inout JSONWriter) {
    writer.name("durability")
    writer.string(mode)
    writer.name("durability_ms")
    if let millis { writer.integer(millis) } else { writer.null() }
  }
}
