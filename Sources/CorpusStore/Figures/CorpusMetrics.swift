import RepriseModel

/// The statistics of a corpus, and numbers that an operator watches.
public struct CorpusMetrics: Equatable, Sendable {
  public var statistics: CorpusStatistics
  /// Address space for the file.
  public var mapBytes = 0
  /// The part of it that was ever filled.
  public var mapUsedBytes = 0
  /// Transactions committed since the oldest that is still being read.
  public var transactionsPinned = 0
  /// Bytes of memory that merging the waiting segments takes; 0 where none wait.
  public var mergeBytes = 0
  /// Seconds since the oldest unsaved sequence was acknowledged; 0 where there is none.
  public var unsavedSeconds = 0.0
  /// Other processes that read the corpus's file.
  public var otherReaders = 0
  public var activity = CorpusActivity()
}
