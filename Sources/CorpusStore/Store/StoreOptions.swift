import SuffixIndex

/// The options of opening a store. The defaults suit a service; tests make everything small.
public struct StoreOptions: Sendable {
  /// Address space for each corpus's file, and therefore its largest size. It takes neither memory
  /// nor disk by itself. 64 GiB: some 3 billion tokens.
  public var mapBytes = 64 << 30

  /// Tokens in the newest growing index after which a new one is begun and the old one is sealed. A
  /// restart adds at most twice this number to memory again, at 0.3 µs a token.
  public var sealTokens = 1 << 18

  /// The number of segments of similar size that are merged into one. Smaller: fewer segments to
  /// read for each draft; larger: less is rewritten. A token is rewritten at most log(history /
  /// sealTokens) / log(fan-in) times.
  public var mergeFanIn = 4

  /// The most segments of similar size in one merge: where many have accumulated, wider merges
  /// catch up with less rewriting.
  public var mergeFanInMax = 16

  /// The most tokens in one merged segment.
  public var mergeTokensMax = 100_000_000

  /// The number of segments above which inserts wait for merging, because every draft reads them
  /// all. Steady work never reaches it; a bulk load does.
  public var segmentsMax = 48

  /// The number of growing indexes waiting to be sealed above which inserts wait.
  public var sealsWaitingMax = 4

  /// Tokens of sequences that may wait to be committed in one corpus; beyond them inserts are
  /// refused as busy. All corpora together keep them in an eighth of `memory`.
  public var writeTokensWaitingMax = 1 << 26

  /// The memory budget of the process: one for all stores and services in it.
  public var memory = MemoryBudget()

  /// True if segments are sealed and merged in the background; otherwise only on request.
  public var compactsInBackground = true

  /// The clocks of the store. Tests set their own.
  public var clock = StoreClock.system

  /// Ends opening the store, and all its long work, when it is cancelled. The store itself stays open.
  public var cancellation = Cancellation()

  public init() {}

  /// The same options, with a new cancellation within another.
  func within(_ outer: Cancellation) -> StoreOptions {
    var options = self
    options.cancellation = Cancellation(within: outer)
    return options
  }
}

/// The settings that a corpus is created with and keeps permanently.
public struct CorpusSettings: Equatable, Sendable {
  /// Longest pattern whose count is kept, in tokens: match and draft together.
  public var depth: Int
  /// Name or digest of the tokenizer whose ids these are. Calls that name another are refused.
  public var tokenizer: String?
  public var retention: Retention
  public var durability: Durability
  /// All token ids are below it: sequences and outputs with others are refused, and drafts contain
  /// none. nil sets no bound.
  public var vocabulary: Int?

  public init(
    depth: Int = 64, tokenizer: String? = nil, retention: Retention = Retention(),
    durability: Durability = .commit, vocabulary: Int? = nil
  ) {
    self.depth = depth
    self.tokenizer = tokenizer
    self.retention = retention
    self.durability = durability
    self.vocabulary = vocabulary
  }

  /// Bytes of UTF-8 that a tokenizer's name may have.
  public static let tokenizerBytesMax = 256
  /// The range of `depth`.
  public static let depthRange = GrowingIndex.depthRange
  /// The range of `vocabulary`. The largest value excludes nothing.
  public static let vocabularyRange = 1...Int(Int32.max)

  /// The bound of token ids; the largest number if there is none.
  var tokenBound: Int32 { vocabulary.map { Int32(clamping: $0) } ?? .max }
}

/// The amount of history that a corpus keeps. A bound that is nil does not apply.
///
/// When a call would take the history past a bound by more than one eighth, the oldest sequences
/// leave first, until the history with the call's sequences is within all bounds. Therefore the
/// kept history depends on the calls and their order alone, not on when compaction runs. The
/// removal is on disk before the call is: a crash between them leaves the history without both. Age
/// is checked in addition, several times in each eighth of it.
public struct Retention: Equatable, Sendable, CustomStringConvertible {
  /// The most tokens of finished sequences.
  public var tokens: Int?
  /// The most finished sequences.
  public var sequences: Int?
  /// The largest age of a sequence, in seconds since it was committed.
  public var ageSeconds: Int?

  public init(tokens: Int? = nil, sequences: Int? = nil, ageSeconds: Int? = nil) {
    self.tokens = tokens
    self.sequences = sequences
    self.ageSeconds = ageSeconds
  }

  public var description: String {
    let bounds = [
      tokens.map { "\($0) tokens" }, sequences.map { "\($0) sequences" },
      ageSeconds.map { "\($0) s" },
    ].compactMap { $0 }
    return bounds.isEmpty ? "unbounded" : bounds.joined(separator: ", ")
  }

  /// The range of `tokens`.
  public static let tokensRange = 64...(1 << 40)
  /// The range of `sequences`.
  public static let sequencesRange = 8...(1 << 40)
  /// The range of `ageSeconds`. Sequences are stamped in whole seconds, and an eighth of the bound
  /// must be several of them.
  public static let ageSecondsRange = 60...(100 * 366 * 86_400)
}

/// The moment at which acknowledged sequences are on disk.
public enum Durability: Equatable, Sendable, CustomStringConvertible {
  /// Before it is acknowledged.
  case commit
  /// At most this number of milliseconds after it is acknowledged. A crash of the process loses
  /// what was acknowledged in the last such window, whole sequences, and never more; the store is
  /// consistent in every case.
  case interval(millis: Int)

  public var description: String {
    switch self {
    case .commit: "commit"
    case .interval(let millis): "interval of \(millis) ms"
    }
  }

  /// The time that writing may fail before the service is no longer ready: far longer than the
  /// window, and long enough for a disk that is slow for a moment.
  var failureTolerated: Duration {
    switch self {
    case .commit: .zero
    case .interval(let millis): max(.seconds(5), .milliseconds(millis) * 10)
    }
  }

  /// The range of the milliseconds of `interval`.
  public static let millisRange = 1...60_000
  /// The milliseconds of `interval` if none are given.
  public static let millisDefault = 100
}

/// The way in which a session's tokens join the shared history.
public enum SharePolicy: String, Sendable {
  /// As they are accepted, so that other sessions profit immediately.
  case live
  /// When the session closes.
  case close
  /// Never: the session only reads.
  case never
}

/// A sequence to be inserted.
public struct NewSequence: Equatable, Sendable {
  /// The caller's id for it, at most `idBytesMax` bytes. Inserting the same sequence again is not
  /// an error and changes nothing.
  public var id: String?
  /// Token ids, 0 ..< 2^31 − 1, at least one.
  public var tokens: [Int32]

  /// The longest id, in bytes of UTF-8.
  public static let idBytesMax = 256

  /// Memory that it takes while it waits to be written, in bytes.
  var bytes: Int { 128 + tokens.count * MemoryLayout<Int32>.stride + (id?.utf8.count ?? 0) }

  public init(id: String? = nil, tokens: [Int32]) {
    self.id = id
    self.tokens = tokens
  }
}

/// The outcome of an insert.
public struct InsertReceipt: Equatable, Sendable {
  /// Sequences that are new in the corpus.
  public var inserted = 0
  /// Sequences that the corpus already held with the same id and tokens.
  public var duplicates = 0
  /// Tokens in the new sequences.
  public var tokens = 0
  /// Order number of the last new sequence; nil if none was new.
  public var lastOrder: UInt64?

  public init() {}
}

/// The statistics of a corpus.
public struct CorpusStats: Equatable, Sendable {
  /// Finished sequences that are on disk.
  public var sequences = 0
  /// Tokens in them.
  public var tokens = 0
  /// Tokens of open sessions that drafts may use but that are not on disk yet.
  public var openTokens = 0
  /// The size of the corpus's file on disk.
  public var bytesOnDisk = 0
  /// Address space for the file, and the part of it that was ever used.
  public var mapBytes = 0
  public var mapUsedBytes = 0
  /// Transactions committed since the oldest that is still being read.
  public var transactionsPinned = 0
  /// Memory of growing indexes and their sequences; sealed indexes are counted on disk.
  public var bytesInMemory = 0
  /// The number of sealed indexes.
  public var segments = 0
  /// Segments that will be merged when memory allows it, and the bytes of memory that this takes; 0
  /// if none wait.
  public var segmentsWaiting = 0
  public var mergeBytes = 0
  /// The number of open sessions.
  public var sessions = 0
  /// Order numbers of the oldest and newest sequence.
  public var oldestOrder: UInt64?
  public var newestOrder: UInt64?
  /// Sequences that were acknowledged and are not on disk yet; 0 unless durability is `interval`.
  public var sequencesUnsaved = 0
  /// Seconds since the oldest of those was acknowledged; 0 if there are none.
  public var unsavedSeconds = 0.0
  /// Other processes that read the corpus's file.
  public var otherReaders = 0
  /// Damage that was found and set aside, and its consequences: one sentence each.
  public var damage: [String] = []
  /// The work done since the corpus was opened.
  public var activity = CorpusActivity()

  public init() {}

  mutating func extendOrders(by orders: ClosedRange<UInt64>) {
    oldestOrder = min(oldestOrder ?? .max, orders.lowerBound)
    newestOrder = max(newestOrder ?? 0, orders.upperBound)
  }

  /// Bytes on disk and in memory for each token of the history; 0 if there are none.
  public var bytesPerToken: Double {
    tokens == 0 ? 0 : Double(bytesOnDisk + bytesInMemory) / Double(tokens)
  }
}
