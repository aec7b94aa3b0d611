/// The amount of history that a corpus keeps, as the wire spells it: `retention` of
/// `corpus.create`. A bound that is nil does not apply.
public struct CorpusRetention: Equatable, Sendable {
  /// The most tokens of finished sequences.
  public var tokens: Int?
  /// The most finished sequences.
  public var sequences: Int?
  /// The largest age of a sequence, in seconds since it was committed.
  public var ageSeconds: Int?

  /// The range of `tokens`.
  public static let tokensRange = 64...(1 << 40)
  /// The range of `sequences`.
  public static let sequencesRange = 8...(1 << 40)
  /// The range of `ageSeconds`.
  public static let ageSecondsRange = 60...(100 * 366 * 86_400)

  public init(tokens: Int? = nil, sequences: Int? = nil, ageSeconds: Int? = nil) {
    self.tokens = tokens
    self.sequences = sequences
    self.ageSeconds = ageSeconds
  }

  /// True if no bound is set.
  public var isUnbounded: Bool { tokens == nil && sequences == nil && ageSeconds == nil }

  init(_ member: Member) throws(WireError) {
    guard member.value.kind == .object else {
      throw member.wrong("an object of \"tokens\", \"sequences\" and \"age_s\"")
    }
    var (tokens, sequences, ageSeconds): (Int?, Int?, Int?)
    try member.value.forEachMember(of: "params.retention") { (name, member) throws(WireError) in
      switch name {
      case "tokens": try member.set(&tokens, member.integer(Self.tokensRange))
      case "sequences": try member.set(&sequences, member.integer(Self.sequencesRange))
      case "age_s": try member.set(&ageSeconds, member.integer(Self.ageSecondsRange))
      default: throw member.unknown
      }
    }
    self.init(tokens: tokens, sequences: sequences, ageSeconds: ageSeconds)
  }

  /// Reads the member of a result; without it there are no bounds.
  init(result: ResultObject) {
    let bounds = result.member("retention").map(ResultObject.init)
    self.init(
      tokens: bounds?.integer("tokens"), sequences: bounds?.integer("sequences"),
      ageSeconds: bounds?.integer("age_s"))
  }

  /// Writes the bounds that are set, in the form of a request.
  func write(to writer: inout JSONWriter) {
    writer.beginObject()
    if let tokens {
      writer.name("tokens")
      writer.integer(tokens)
    }
    if let sequences {
      writer.name("sequences")
      writer.integer(sequences)
    }
    if let ageSeconds {
      writer.name("age_s")
      writer.integer(ageSeconds)
    }
    writer.endObject()
  }

  /// Writes all bounds, null for none, in the form of a result.
  func writeAll(to writer: inout JSONWriter) {
    writer.beginObject()
    for (name, bound) in [("tokens", tokens), ("sequences", sequences), ("age_s", ageSeconds)] {
      writer.name(of: name)
      if let bound { writer.integer(bound) } else { writer.null() }
    }
    writer.endObject()
  }
}
