import RepriseModel

/// `corpus.create`: creates a corpus, or finds the existing one with the same settings.
public struct CorpusCreate: Equatable, Sendable {
  public var corpus: CorpusName
  public var settings: CorpusSettings

  public init(corpus: CorpusName, settings: CorpusSettings = CorpusSettings()) {
    self.corpus = corpus
    self.settings = settings
  }

  init(_ params: JSONValue?, _ limits: Limits) throws(WireError) {
    var corpus: CorpusName?
    var settings = CorpusSettings.Reader()
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "corpus": try member.set(&corpus, member.corpusToMake())
      default: try settings.read(name, member, limits)
      }
    }
    self.init(corpus: try required(corpus, "corpus"), settings: try settings.settings())
  }

  func write(to writer: inout JSONWriter) {
    writer.name("corpus")
    writer.string(corpus.text)
    settings.write(to: &writer)
  }
}

/// `corpus.drop`: drops a corpus and its file permanently.
public struct CorpusDrop: Equatable, Sendable {
  public var corpus: CorpusName

  public init(corpus: CorpusName) {
    self.corpus = corpus
  }

  init(_ params: JSONValue?) throws(WireError) {
    var (corpus, confirm): (CorpusName?, String?)
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "corpus": try member.set(&corpus, member.corpusToFind())
      case "confirm": try member.set(&confirm, member.corpusText())
      default: throw member.unknown
      }
    }
    self.init(corpus: try required(corpus, "corpus"))
    if try required(confirm, "confirm") != self.corpus.text {
      throw WireError(
        .invalidParams,
        "params.confirm is not \"\(self.corpus)\"; give the corpus's name again to drop it",
        ["member": .text("params.confirm")])
    }
  }

  func write(to writer: inout JSONWriter) {
    writer.name("corpus")
    writer.string(corpus.text)
    writer.name("confirm")
    writer.string(corpus.text)
  }
}

/// `corpus.merge`: adds the sequences of one corpus to another, all of them or none.
public struct CorpusMerge: Equatable, Sendable {
  /// The corpus that is read; it stays unchanged.
  public var from: CorpusName
  /// The corpus that receives the sequences.
  public var into: CorpusName

  public init(from: CorpusName, into: CorpusName) {
    self.from = from
    self.into = into
  }

  init(_ params: JSONValue?) throws(WireError) {
    var (from, into): (CorpusName?, CorpusName?)
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "from": try member.set(&from, member.corpusToFind())
      case "into": try member.set(&into, member.corpusToFind())
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
    writer.string(from.text)
    writer.name("into")
    writer.string(into.text)
  }
}
