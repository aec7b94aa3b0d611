/// `corpus.create`: makes a corpus, or finds the one that stands with the same settings.
public struct CorpusCreate: Equatable, Sendable {
  public var corpus: String
  public var tokenizer: String?
  /// Longest pattern whose count is kept, in tokens.
  public var depth = 64

  public init(corpus: String, tokenizer: String? = nil, depth: Int = 64) {
    self.corpus = corpus
    self.tokenizer = tokenizer
    self.depth = depth
  }

  init(_ params: JSONValue?, _ limits: Limits) throws(WireError) {
    var (corpus, tokenizer): (String?, String?)
    var depth: Int?
    var durability: String?
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "corpus": try member.set(&corpus, member.corpusName())
      case "tokenizer":
        try member.set(
          &tokenizer, member.name("tokenizer_bytes", bytesMax: limits.tokenizerBytesMax))
      case "depth": try member.set(&depth, member.integer(Limits.depthRange))
      case "durability":
        let value = try member.string("durability_bytes", bytesMax: 64)
        // A mode that is not kept must not be promised.
        if value != "commit" { throw member.wrong("\"commit\", the only mode of this version") }
        try member.set(&durability, value)
      case "retention":
        throw member.wrong("nothing: this version keeps all history")
      default: throw member.unknown
      }
    }
    self.init(
      corpus: try required(corpus, "corpus"), tokenizer: tokenizer, depth: depth ?? 64)
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
  }
}

/// `corpus.drop`: removes a corpus and its file, for good.
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
        "params.confirm is not \"\(self.corpus)\"; give the corpus's name again to drop it for good",
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
