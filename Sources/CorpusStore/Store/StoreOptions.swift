import SuffixIndex

/// How a store is opened. The defaults suit a service; tests make everything small.
public struct StoreOptions: Sendable {
  /// Address space for each corpus's file, and so the most that it can grow to. Only address
  /// space: neither memory nor disk is taken for it. 64 GiB: some 3 billion tokens.
  public var mapBytes = 64 << 30

  /// When the newest growing index holds this many tokens, a new one is begun and the old one is
  /// sealed. A restart adds at most two such amounts to memory again, at 0.3 µs a token.
  public var sealTokens = 1 << 18

  /// When so many segments are of similar size they are merged into one. Smaller: fewer segments to
  /// ask at each draft; larger: less is rewritten. A token is rewritten at most
  /// log(history / sealTokens) / log(fan-in) times.
  public var mergeFanIn = 4

  /// So many segments of similar size are merged at most: where they have piled up, wider merges
  /// catch up with less rewriting.
  public var mergeFanInMax = 16

  /// Tokens in one merged segment at most.
  public var mergeTokensMax = 100_000_000

  /// When a corpus has more segments, inserts wait for merging, because every draft asks them all.
  /// More than steady work ever makes; a bulk load does.
  public var segmentsMax = 48

  /// Growing indexes that wait to be sealed; when there are more, inserts wait.
  public var sealsWaitingMax = 4

  /// Tokens of sequences that wait to be committed in one corpus; more are refused as busy. All
  /// corpora together keep them in an eighth of `memory`.
  public var writeTokensWaitingMax = 1 << 26

  /// The memory budget of the process: one for all stores and services in it.
  public var memory = MemoryBudget()

  /// Whether segments are sealed and merged in the background. Off, they are only on request.
  public var compactsInBackground = true

  /// The clocks that the store goes by. Tests set their own.
  public var clock = StoreClock.system

  /// Ends opening the store, and all its long work, when it is cancelled. The store itself stays open.
  public var cancellation = Cancellation()

  public init() {}

  /// The same, with a cancellation of its own within another.
  func within(_ outer: Cancellation) -> StoreOptions {
    var options = self
    options.cancellation = Cancellation(within: outer)
    return options
  }
}

/// What a corpus is created with and keeps for life.
public struct CorpusSettings: Equatable, Sendable {
  /// Longest pattern whose count is kept, in tokens: match and draft together.
  public var depth: Int
  /// Name or digest of the tokenizer whose ids these are. Calls that name another are refused.
  public var tokenizer: String?
  public var retention: Retention
  public var durability: Durability
  /// Token ids are below it: sequences and outputs with others are refused, and drafts have none.
  /// nil has no bound.
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
  public static let depthRange = GrowingIndex.depthRange
  public static let vocabularyRange = 1...Int(Int32.max)

  /// The bound of token ids, the largest where there is none.
  var tokenBound: Int32 { vocabulary.map { Int32(clamping: $0) } ?? .max }
}

/// How much history a corpus keeps. What is nil has no bound.
///
/// When a call would take the history past a bound by more than one eighth, the oldest sequences
/// leave first, until the history with the call's sequences is within all bounds. So what is kept
/// depends on the calls and their order alone, not on when compaction runs. Making room is on disk
/// before the call is: a crash between them leaves the history without both. Age is looked at beside
/// that, some times in each eighth of it.
public struct Retention: Equatable, Sendable, CustomStringConvertible {
  /// Tokens of finished sequences.
  public var tokens: Int?
  /// Finished sequences.
  public var sequences: Int?
  /// Seconds since a sequence was committed.
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

  public static let tokensRange = 64...(1 << 40)
  public static let sequencesRange = 8...(1 << 40)
  /// The clock of sequences counts whole seconds; an eighth of the bound must be some of them.
  public static let ageSecondsRange = 60...(100 * 366 * 86_400)
}

/// When what was acknowledged is on disk.
public enum Durability: Equatable, Sendable, CustomStringConvertible {
  /// Before it is acknowledged.
  case commit
  /// At most so many milliseconds after. A crash of the process loses what was acknowledged in the
  /// last such window, whole sequences, and never more; the store is consistent whatever happens.
  case interval(millis: Int)

  public var description: String {
    switch self {
    case .commit: "commit"
    case .interval(let millis): "interval of \(millis) ms"
    }
  }

  /// How long writing may fail before the service is no longer ready: far longer than the window, and long
  /// enough for a disk that is slow for a moment.
  var failureTolerated: Duration {
    switch self {
    case .commit: .zero
    case .interval(let millis): max(.seconds(5), .milliseconds(millis) * 10)
    }
  }

  public static let millisRange = 1...60_000
  public static let millisDefault = 100
}

/// Whether a session's tokens join the shared history.
public enum SharePolicy: String, Sendable {
  /// As they are accepted, so that other sessions profit at once.
  case live
  /// When the session closes.
  case close
  /// Never: the session only reads.
  case never
}

/// A sequence to be kept.
public struct NewSequence: Equatable, Sendable {
  /// The caller's name for it, at most `idBytesMax` bytes: inserting it again is no error and
  /// changes nothing.
  public var id: String?
  /// Token ids, 0 ..< 2^31 − 1, at least one.
  public var tokens: [Int32]

  public static let idBytesMax = 256

  /// Memory that it takes while it waits to be written.
  var bytes: Int { 128 + tokens.count * MemoryLayout<Int32>.stride + (id?.utf8.count ?? 0) }

  public init(id: String? = nil, tokens: [Int32]) {
    self.id = id
    self.tokens = tokens
  }
}

/// What became of an insert.
public struct InsertReceipt: Equatable, Sendable {
  /// Sequences that are new in the corpus.
  public var inserted = 0
  /// Sequences whose id and tokens stood there already.
  public var duplicates = 0
  /// Tokens in the new sequences.
  public var tokens = 0
  /// Order number of the last new sequence; nil if none was new.
  public var lastOrder: UInt64?

  public init() {}
}

/// A corpus in numbers.
public struct CorpusStats: Equatable, Sendable {
  /// Finished sequences that are on disk.
  public var sequences = 0
  /// Tokens in them.
  public var tokens = 0
  /// Tokens of open sessions that drafts may use but that are not on disk yet.
  public var openTokens = 0
  /// What the corpus's file takes.
  public var bytesOnDisk = 0
  /// Address space for the file, and how far it was ever filled.
  public var mapBytes = 0
  public var mapUsedBytes = 0
  /// Transactions committed since the oldest that is still being read.
  public var transactionsPinned = 0
  /// Growing indexes and their sequences; sealed indexes are counted on disk.
  public var bytesInMemory = 0
  public var segments = 0
  /// Segments that are to be merged when there is memory for it, and bytes of memory that this takes; 0
  /// where none wait.
  public var segmentsWaiting = 0
  public var mergeBytes = 0
  public var sessions = 0
  /// Order numbers of the oldest and newest sequence.
  public var oldestOrder: UInt64?
  public var newestOrder: UInt64?
  /// Sequences that were acknowledged and are not on disk yet; 0 unless durability is `interval`.
  public var sequencesUnsaved = 0
  /// Seconds since the oldest of those was acknowledged; 0 where there is none.
  public var unsavedSeconds = 0.0
  /// Other processes that read the corpus's file.
  public var otherReaders = 0
  /// What was found damaged and set aside, and what became of it: one sentence each.
  public var damage: [String] = []
  public var activity = CorpusActivity()

  public init() {}

  mutating func extendOrders(by orders: ClosedRange<UInt64>) {
    oldestOrder = min(oldestOrder ?? .max, orders.lowerBound)
    newestOrder = max(newestOrder ?? 0, orders.upperBound)
  }

  public var bytesPerToken: Double {
    tokens == 0 ? 0 : Double(bytesOnDisk + bytesInMemory) / Double(tokens)
  }
}
