import RepriseModel
import WireProtocol

/// The operations of commands on a history, in a service or in a store.
protocol HistoryAccess: Sendable {
  /// Creates a corpus, or finds the existing one with the same settings.
  func createCorpus(_ call: CorpusCreate) async throws -> CorpusDescription
  func corpora() async throws -> [CorpusStatistics]
  func stats(_ corpus: CorpusName) async throws -> CorpusStatistics
  func dropCorpus(_ name: CorpusName) async throws -> Bool
  func insert(_ sequences: [NewSequence], into corpus: CorpusName) async throws -> InsertReceipt
  func speculate(_ context: [Int32], corpus: CorpusName, _ options: DraftOptions) async throws
    -> Draft
  func openSession(
    corpus: CorpusName, prompt: [Int32], group: String?, share: SharePolicy
  ) async throws
    -> any SessionAccess

  // The following operations take long. `progress` is called on any thread, or never.
  func mergeCorpus(
    from source: CorpusName, into target: CorpusName, progress: @escaping OperationProgress
  ) async throws -> MergeReceipt
  /// Removes any number of sequences by their ids.
  func forget(_ ids: [String], in corpus: CorpusName) async throws -> ForgetReceipt
  func createSnapshot(
    of corpus: CorpusName, named name: String?, progress: @escaping OperationProgress
  ) async throws -> SnapshotDescription
  func snapshots() async throws -> [SnapshotDescription]
  func verifySnapshot(
    _ snapshot: SnapshotReference, progress: @escaping OperationProgress
  ) async throws -> SnapshotDescription
  func deleteSnapshot(_ name: String) async throws
  func restore(
    _ snapshot: SnapshotReference, into corpus: CorpusName, replacing: Bool,
    progress: @escaping OperationProgress
  ) async throws -> CorpusStatistics

  /// Ends the access; everything inserted is on disk.
  func close() async
}

extension HistoryAccess {
  /// Creates a corpus if none of that name exists, with any settings.
  func makeCorpusIfMissing(
    _ name: CorpusName, _ settings: CorpusSettings = CorpusSettings()
  ) async throws {
    if try await corpora().contains(where: { $0.corpus == name }) { return }
    _ = try await createCorpus(CorpusCreate(corpus: name, settings: settings))
  }
}

/// The durations of the two halves of a step.
struct StepTimes {
  /// Adding the accepted tokens; nil if one exchange does both.
  var acceptMicros: Double?
  /// Drafting, or the whole exchange.
  var draftMicros: Double
}

protocol SessionAccess {
  func step(accepting tokens: [Int32], _ options: DraftOptions, into draft: inout Draft)
    async throws -> StepTimes
  func close() async throws
}

func micros(_ duration: Duration) -> Double {
  let (seconds, attoseconds) = duration.components
  return Double(seconds) * 1e6 + Double(attoseconds) / 1e12
}

func micros(since start: ContinuousClock.Instant) -> Double { micros(ContinuousClock.now - start) }
