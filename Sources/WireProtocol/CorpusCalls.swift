import Drafting

/// `corpus.create`: creates a corpus, or finds the existing one with the same settings.
public struct CorpusCreate: Equatable, Sendable {
  public var corpus: String
  public var tokenizer: String?
  /// Longest pattern whose count is kept, in tokens.
  public var depth = 64
  /// The amount of history that is kept.
  public var retention = CorpusRetention()
  /// The moment at which acknowledged sequences are on disk.
  public var durability = CorpusDurability.commit
  /// All token ids of the corpus are below it; nil sets no bound.
  public var vocabulary: Int?

  public init(
    corpus: String, tokenizer: String? = nil, depth: Int = 64,
    retention: CorpusRetention = CorpusRetention(), durability: CorpusDurability = .commit,
    vocabulary: Int? = nil
  ) {
    self.corpus = corpus
    self.tokenizer = tokenizer
    self.depth = depth
    self.retention = retention
    self.durability = durability
    self.vocabulary = vocabulary
  }

  init(_ params: JSONValue?, _ limits: Limits) throws(WireError) {
    var (corpus, tokenizer): (String?, String?)
    var (depth, vocabulary): (Int?, Int?)
    var retention: CorpusRetention?
    var durability = CorpusDurability.Reader()
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "corpus": try member.set(&corpus, member.corpusName())
      case "tokenizer":
        try member.set(
          &tokenizer, member.name("tokenizer_bytes", bytesMax: limits.tokenizerBytesMax))
      case "depth": try member.set(&depth, member.integer(Limits.depthRange))
      case "retention": try member.set(&retention, CorpusRetention(member))
      case "durability": try durability.readMode(member)
      case "durability_ms": try durability.readMillis(member)
      case "vocabulary":
        try member.set(&vocabulary, member.integer(DraftOptions.vocabularyRange))
      default: throw member.unknown
      }
    }
    self.init(
      corpus: try required(corpus, "corpus"), tokenizer: tokenizer, depth: depth ?? 64,
      retention: retention ?? CorpusRetention(), durability: try durability.durability(),
      vocabulary: vocabulary)
  }

  func write(to writer: inout JSONWriter) {
    writer.name("corpus")
    writer.string(corpus)
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
  }
}

/// `corpus.drop`: drops a corpus and its file permanently.
public struct CorpusDrop: Equatable, Sendable {
  public var corpus: String

  public init(corpus: String) {
    self.corpus = corpus
  }

  init(_ params: JSONValue?) throws(WireError) {
    var (corpus, confirm): (String?, String?)
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "corpus": try member.set(&corpus, member.corpusName())
      case "confirm": try member.set(&confirm, member.corpusName())
      default: throw member.unknown
      }
    }
    self.init(corpus: try required(corpus, "corpus"))
    if try required(confirm, "confirm") != self.corpus {
      throw WireError(
        .invalidParams,
        "params.confirm is not \"\(self.corpus)\"; give the corpus's name again to drop it",
        ["member": .text("params.confirm")])
    }
  }

  func write(to writer: inout JSONWriter) {
    writer.name("corpus")
    writer.string(corpus)
    writer.name("confirm")
    writer.string(corpus)
  }
}

/// `corpus.merge`: adds the sequences of one corpus to another, all of them or none.
public struct CorpusMerge: Equatable, Sendable {
  /// The corpus that is read; it stays unchanged.
  public var from: String
  /// The corpus that receives the sequences.
  public var into: String

  public init(from: String, into: String) {
    self.from = from
    self.into = into
  }

  init(_ params: JSONValue?) throws(WireError) {
    var (from, into): (String?, String?)
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "from": try member.set(&from, member.corpusName())
      case "into": try member.set(&into, member.corpusName())
      default: throw member.unknown
      }
    }
    self.init(from: try required(from, "from"), into: try required(into, "into"))
    if self.from == self.into {
      throw WireError(
        .invalidParams,
        "params.from and params.into are both \"\(self.from)\", expected two corpora; name another one",
        ["member": .text("params.into")])
    }
  }

  func write(to writer: inout JSONWriter) {
    writer.name("from")
    writer.string(from)
    writer.name("into")
    writer.string(into)
  }
}
