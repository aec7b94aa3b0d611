/// The settings of a corpus: the result of `corpus.create`.
public struct CorpusDescription: WireResult, Equatable {
  public var corpus: String
  public var tokenizer: String?
  public var depth: Int
  public var retention: CorpusRetention
  public var durability: CorpusDurability
  /// All token ids of the corpus are below it; nil sets no bound.
  public var vocabulary: Int?

  public init(
    corpus: String, tokenizer: String?, depth: Int,
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

  public func write(to writer: inout JSONWriter) {
    writer.name("corpus")
    writer.string(corpus)
    writer.name("tokenizer")
    if let tokenizer { writer.string(tokenizer) } else { writer.null() }
    writer.name("depth")
    writer.integer(depth)
    writer.name("retention")
    retention.writeAll(to: &writer)
    durability.writeAll(to: &writer)
    writer.name("vocabulary")
    if let vocabulary { writer.integer(vocabulary) } else { writer.null() }
  }

  public init?(result: ResultObject) {
    guard let corpus = result.string("corpus"), let depth = result.integer("depth") else {
      return nil
    }
    self.init(
      corpus: corpus, tokenizer: result.string("tokenizer"), depth: depth,
      retention: CorpusRetention(result: result), durability: CorpusDurability(result: result),
      vocabulary: result.integer("vocabulary"))
  }
}

/// The settings and size of a corpus: the result of `corpus.stats`, and one entry of `corpus.list`.
public struct CorpusStatistics: WireResult, Equatable {
  public var corpus: String
  public var tokenizer: String?
  public var depth: Int
  public var retention: CorpusRetention
  public var durability: CorpusDurability
  /// All token ids of the corpus are below it; nil sets no bound.
  public var vocabulary: Int?
  /// Finished sequences and their tokens.
  public var sequences: Int
  public var tokens: Int
  /// Tokens of open sessions that are drafted from but not on disk yet.
  public var openTokens: Int
  public var bytesOnDisk: Int
  public var bytesInMemory: Int
  /// Bytes on disk and in memory for each token of finished sequences.
  public var bytesPerToken: Double
  /// The number of sealed indexes, all of which every draft reads.
  public var segments: Int
  /// Segments that will be merged when memory allows it.
  public var segmentsWaiting: Int
  public var sessions: Int
  /// Order numbers of the oldest and newest sequence.
  public var oldest: UInt64?
  public var newest: UInt64?
  /// Sequences that were acknowledged and are not on disk yet.
  public var unsavedSequences: Int
  /// Damage that was found and set aside: one sentence each.
  public var damage: [String]

  public init(
    corpus: String, tokenizer: String?, depth: Int, sequences: Int, tokens: Int, openTokens: Int,
    bytesOnDisk: Int, bytesInMemory: Int, bytesPerToken: Double, segments: Int, sessions: Int,
    oldest: UInt64?, newest: UInt64?, retention: CorpusRetention = CorpusRetention(),
    durability: CorpusDurability = .commit, vocabulary: Int? = nil, unsavedSequences: Int = 0,
    damage: [String] = [], segmentsWaiting: Int = 0
  ) {
    self.corpus = corpus
    self.tokenizer = tokenizer
    self.depth = depth
    self.sequences = sequences
    self.tokens = tokens
    self.openTokens = openTokens
    self.bytesOnDisk = bytesOnDisk
    self.bytesInMemory = bytesInMemory
    self.bytesPerToken = bytesPerToken
    self.segments = segments
    self.segmentsWaiting = segmentsWaiting
    self.sessions = sessions
    self.oldest = oldest
    self.newest = newest
    self.retention = retention
    self.durability = durability
    self.vocabulary = vocabulary
    self.unsavedSequences = unsavedSequences
    self.damage = damage
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("corpus")
    writer.string(corpus)
    writer.name("tokenizer")
    if let tokenizer { writer.string(tokenizer) } else { writer.null() }
    for (name, value) in [
      ("depth", depth), ("sequences", sequences), ("tokens", tokens), ("open_tokens", openTokens),
      ("bytes_on_disk", bytesOnDisk), ("bytes_in_memory", bytesInMemory),
      ("segments", segments), ("segments_waiting", segmentsWaiting), ("sessions", sessions),
    ] {
      writer.name(of: name)
      writer.integer(value)
    }
    writer.name("bytes_per_token")
    writer.number(bytesPerToken)
    for (name, order) in [("oldest", oldest), ("newest", newest)] {
      writer.name(of: name)
      if let order { writer.integer(order) } else { writer.null() }
    }
    writer.name("retention")
    retention.writeAll(to: &writer)
    durability.writeAll(to: &writer)
    writer.name("vocabulary")
    if let vocabulary { writer.integer(vocabulary) } else { writer.null() }
    writer.name("unsaved_sequences")
    writer.integer(unsavedSequences)
    writer.name("damage")
    writer.strings(damage)
  }

  public init?(result: ResultObject) {
    guard let corpus = result.string("corpus"), let depth = result.integer("depth"),
      let sequences = result.integer("sequences"), let tokens = result.integer("tokens"),
      let openTokens = result.integer("open_tokens"),
      let bytesOnDisk = result.integer("bytes_on_disk"),
      let bytesInMemory = result.integer("bytes_in_memory"),
      let bytesPerToken = result.double("bytes_per_token"),
      let segments = result.integer("segments"), let sessions = result.integer("sessions")
    else { return nil }
    self.init(
      corpus: corpus, tokenizer: result.string("tokenizer"), depth: depth, sequences: sequences,
      tokens: tokens, openTokens: openTokens, bytesOnDisk: bytesOnDisk,
      bytesInMemory: bytesInMemory, bytesPerToken: bytesPerToken, segments: segments,
      sessions: sessions, oldest: result.integer("oldest").map(UInt64.init),
      newest: result.integer("newest").map(UInt64.init),
      retention: CorpusRetention(result: result), durability: CorpusDurability(result: result),
      vocabulary: result.integer("vocabulary"),
      unsavedSequences: result.integer("unsaved_sequences") ?? 0,
      damage: result.strings("damage") ?? [],
      segmentsWaiting: result.integer("segments_waiting") ?? 0)
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

/// The numbers of sequences by outcome: the result of `corpus.merge`.
public struct CorpusMerged: WireResult, Equatable {
  /// Sequences that are new in the corpus, and tokens in them.
  public var sequences: Int
  public var tokens: Int
  /// Sequences that the corpus already holds with the same id and tokens.
  public var duplicates: Int
  /// Sequences whose id the corpus already holds with other tokens, which stay.
  public var conflicts: Int

  public init(sequences: Int, tokens: Int, duplicates: Int, conflicts: Int) {
    self.sequences = sequences
    self.tokens = tokens
    self.duplicates = duplicates
    self.conflicts = conflicts
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("sequences")
    writer.integer(sequences)
    writer.name("tokens")
    writer.integer(tokens)
    writer.name("duplicates")
    writer.integer(duplicates)
    writer.name("conflicts")
    writer.integer(conflicts)
  }

  public init?(result: ResultObject) {
    guard let sequences = result.integer("sequences"), let tokens = result.integer("tokens"),
      let duplicates = result.integer("duplicates"), let conflicts = result.integer("conflicts")
    else { return nil }
    self.init(
      sequences: sequences, tokens: tokens, duplicates: duplicates, conflicts: conflicts)
  }
}
