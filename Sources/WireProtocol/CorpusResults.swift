import RepriseModel

/// The settings of a corpus: the result of `corpus.create`.
public struct CorpusDescription: WireResult, Equatable {
  public var corpus: CorpusName
  public var settings: CorpusSettings

  public init(corpus: CorpusName, settings: CorpusSettings) {
    self.corpus = corpus
    self.settings = settings
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("corpus")
    writer.string(corpus.text)
    settings.writeTokenizer(to: &writer)
    writer.name("depth")
    writer.integer(settings.depth)
    settings.writeOthers(to: &writer)
  }

  public init?(result: ResultObject) {
    guard let corpus = result.corpusName("corpus"), let settings = CorpusSettings(result: result)
    else { return nil }
    self.init(corpus: corpus, settings: settings)
  }
}

/// The settings and size of a corpus: the result of `corpus.stats`, and one entry of `corpus.list`.
extension CorpusStatistics: WireResult {
  public func write(to writer: inout JSONWriter) {
    writer.name("corpus")
    writer.string(corpus.text)
    settings.writeTokenizer(to: &writer)
    for (name, value) in [
      ("depth", settings.depth), ("sequences", sequences), ("tokens", tokens),
      ("lead_in_tokens", leadInTokens),
      ("open_tokens", openTokens), ("bytes_on_disk", bytesOnDisk),
      ("bytes_in_memory", bytesInMemory), ("segments", segments),
      ("segments_waiting", segmentsWaiting), ("sessions", sessions),
    ] {
      writer.name(of: name)
      writer.integer(value)
    }
    writer.name("bytes_per_token")
    writer.number(bytesPerToken)
    for (name, order) in [("oldest", oldestOrder), ("newest", newestOrder)] {
      writer.name(of: name)
      if let order { writer.integer(order) } else { writer.null() }
    }
    settings.writeOthers(to: &writer)
    writer.name("unsaved_sequences")
    writer.integer(unsavedSequences)
    writer.name("damage")
    writer.strings(damage)
  }

  public init?(result: ResultObject) {
    guard let corpus = result.corpusName("corpus"), let settings = CorpusSettings(result: result),
      let sequences = result.integer("sequences"), let tokens = result.integer("tokens"),
      let openTokens = result.integer("open_tokens"),
      let bytesOnDisk = result.integer("bytes_on_disk"),
      let bytesInMemory = result.integer("bytes_in_memory"),
      let segments = result.integer("segments"), let sessions = result.integer("sessions")
    else { return nil }
    self.init(corpus: corpus, settings: settings)
    self.sequences = sequences
    self.tokens = tokens
    leadInTokens = result.integer("lead_in_tokens") ?? 0
    self.openTokens = openTokens
    self.bytesOnDisk = bytesOnDisk
    self.bytesInMemory = bytesInMemory
    self.segments = segments
    segmentsWaiting = result.integer("segments_waiting") ?? 0
    self.sessions = sessions
    oldestOrder = result.integer("oldest").map(UInt64.init)
    newestOrder = result.integer("newest").map(UInt64.init)
    unsavedSequences = result.integer("unsaved_sequences") ?? 0
    damage = result.strings("damage") ?? []
  }
}

/// All corpora that the caller may see: the result of `corpus.list`.
public struct CorpusList: WireResult, Equatable {
  public var corpora: [CorpusStatistics]

  public init(corpora: [CorpusStatistics]) {
    self.corpora = corpora
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("corpora")
    writer.beginArray()
    for corpus in corpora {
      writer.beginObject()
      corpus.write(to: &writer)
      writer.endObject()
    }
    writer.endArray()
  }

  public init?(result: ResultObject) {
    guard let list = result.member("corpora") else { return nil }
    corpora = []
    list.forEachElement { (_, value) in
      if let corpus = CorpusStatistics(result: ResultObject(value: value)) {
        corpora.append(corpus)
      }
    }
  }
}

/// The result of `corpus.drop`; `dropped` is false if another call dropped the corpus in the
/// meantime.
public struct CorpusDropped: WireResult, Equatable {
  public var dropped: Bool

  public init(dropped: Bool) {
    self.dropped = dropped
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("dropped")
    writer.bool(dropped)
  }

  public init?(result: ResultObject) {
    guard let dropped = result.bool("dropped") else { return nil }
    self.init(dropped: dropped)
  }
}
