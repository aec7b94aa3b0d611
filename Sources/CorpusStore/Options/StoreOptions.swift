import Concurrency
import CorpusFormat

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

  /// The options of opening a corpus's file.
  var file: CorpusFile.Options {
    CorpusFile.Options(mapBytes: mapBytes, cancellation: cancellation)
  }

  /// The same options, with a new cancellation within another.
  func within(_ outer: Cancellation) -> StoreOptions {
    var options = self
    options.cancellation = Cancellation(within: outer)
    return options
  }
}
