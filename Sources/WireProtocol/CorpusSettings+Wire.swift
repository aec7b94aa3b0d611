import RepriseModel

extension CorpusSettings {
  /// The members of `corpus.create` while they are read, in any order.
  struct Reader {
    private var tokenizer: String?
    private var depth: Int?
    private var retention: Retention?
    private var durability = Durability.Reader()
    private var vocabulary: Int?
    private var leadIn: Int?
    private var endIDs: EndIDs?

    /// Reads a member if it is a setting; any other is unknown.
    mutating func read(
      _ name: String, _ member: Member, _ limits: Limits
    ) throws(WireError) {
      switch name {
      case "tokenizer":
        try member.set(
          &tokenizer, member.name(.tokenizerBytes, bytesMax: limits.tokenizerBytesMax))
      case "depth": try member.set(&depth, member.integer(Depth.range))
      case "retention": try member.set(&retention, Retention(member))
      case "durability": try durability.readMode(member)
      case "durability_ms": try durability.readMillis(member)
      case "vocabulary": try member.set(&vocabulary, member.integer(Vocabulary.range))
      case "lead_in": try member.set(&leadIn, member.integer(LeadIn.range))
      case "end_ids": try member.set(&endIDs, EndIDs(member))
      default: throw member.unknown
      }
    }

    func settings() throws(WireError) -> CorpusSettings {
      CorpusSettings(
        depth: depth ?? Depth.standard, tokenizer: tokenizer,
        retention: retention ?? Retention(), durability: try durability.durability(),
        vocabulary: vocabulary, leadIn: leadIn ?? LeadIn.standard, endIDs: endIDs ?? EndIDs())
    }
  }

  /// Reads the members of a result; nil if the depth is missing.
  init?(result: ResultObject) {
    guard let depth = result.integer("depth") else { return nil }
    self.init(
      depth: depth, tokenizer: result.string("tokenizer"),
      retention: Retention(result: result), durability: Durability(result: result),
      vocabulary: result.integer("vocabulary"),
      leadIn: result.integer("lead_in") ?? LeadIn.standard,
      endIDs: result.tokens("end_ids").flatMap { EndIDs($0) } ?? EndIDs())
  }

  /// Writes the depth and the settings that differ from the defaults, in the form of a request.
  func write(to writer: inout JSONWriter) {
    if let tokenizer {
      writer.name("tokenizer")
      writer.string(tokenizer)
    }
    writer.name("depth")
    writer.integer(depth)
    if !retention.isUnbounded {
      writer.name("retention")
      retention.write(to: &writer)
    }
    if durability != .commit { durability.write(to: &writer) }
    if let vocabulary {
      writer.name("vocabulary")
      writer.integer(vocabulary)
    }
    if leadIn != LeadIn.standard {
      writer.name("lead_in")
      writer.integer(leadIn)
    }
    if !endIDs.isEmpty {
      writer.name("end_ids")
      writer.integers(endIDs.list)
    }
  }

  /// Writes the tokenizer, null for none, in the form of a result.
  func writeTokenizer(to writer: inout JSONWriter) {
    writer.name("tokenizer")
    if let tokenizer { writer.string(tokenizer) } else { writer.null() }
  }

  /// Writes all settings but depth and tokenizer, null for no bound, in the form of a result.
  func writeOthers(to writer: inout JSONWriter) {
    writer.name("retention")
    retention.writeAll(to: &writer)
    durability.writeAll(to: &writer)
    writer.name("vocabulary")
    if let vocabulary { writer.integer(vocabulary) } else { writer.null() }
    writer.name("lead_in")
    writer.integer(leadIn)
    writer.name("end_ids")
    writer.integers(endIDs.list)
  }
}

extension EndIDs {
  init(_ member: Member) throws(WireError) {
    var ids: [Int32] = []
    guard member.value.kind == .array, member.value.count <= Self.countMax else {
      throw member.wrong("an array of at most \(Self.countMax) token ids")
    }
    try member.tokens(to: &ids)
    self = EndIDs(ids) ?? EndIDs()
  }
}

extension Retention {
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

extension Durability {
  /// The mode as the wire spells it.
  package var mode: String {
    switch self {
    case .commit: "commit"
    case .interval: "interval"
    }
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
      try member.set(&millis, member.integer(Durability.millisRange))
    }

    func durability() throws(WireError) -> Durability {
      if isInterval == true {
        return .interval(millis: millis ?? Durability.millisDefault)
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
