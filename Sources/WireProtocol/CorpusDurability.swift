/// The moment at which acknowledged sequences are on disk, as the wire spells it: `durability` and
/// `durability_ms` of `corpus.create`.
public enum CorpusDurability: Equatable, Sendable {
  /// Before it is acknowledged.
  case commit
  /// At most this number of milliseconds after it is acknowledged.
  case interval(millis: Int)

  /// The range of the milliseconds of `interval`.
  public static let millisRange = 1...60_000
  /// The milliseconds of `interval` if the request gives none.
  public static let millisDefault = 100

  /// The mode as the wire spells it.
  public var mode: String {
    switch self {
    case .commit: "commit"
    case .interval: "interval"
    }
  }

  /// The delay in milliseconds; nil for `commit`.
  public var millis: Int? {
    if case .interval(let millis) = self { millis } else { nil }
  }

  /// The two members while they are read, in any order.
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
        "params.durability_ms is allowed only with durability \"interval\"; give both, or neither",
        ["member": .text("params.durability_ms")])
    }
  }

  /// Reads the members of a result; without any the durability is `commit`.
  init(result: ResultObject) {
    self =
      result.string("durability") == "interval"
      ? .interval(millis: result.integer("durability_ms") ?? Self.millisDefault) : .commit
  }

  /// Writes the members that are set, in the form of a request.
  func write(to writer: inout JSONWriter) {
    writer.name("durability")
    writer.string(mode)
    if let millis {
      writer.name("durability_ms")
      writer.integer(millis)
    }
  }

  /// Writes both members, null for no milliseconds, in the form of a result.
  func writeAll(to writer: inout JSONWriter) {
    writer.name("durability")
    writer.string(mode)
    writer.name("durability_ms")
    if let millis { writer.integer(millis) } else { writer.null() }
  }
}
