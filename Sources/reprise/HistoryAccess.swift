import Drafting
import WireProtocol

/// The operations of commands on a history, in a service or in a store.
protocol HistoryAccess: Sendable {
  /// Creates a corpus, or finds the existing one with the same settings.
  func createCorpus(_ call: CorpusCreate) async throws -> CorpusDescription
  func corpora() async throws -> [CorpusStatistics]
  func stats(_ corpus: String) async throws -> CorpusStatistics
  func dropCorpus(_ name: String) async throws -> Bool
  func insert(_ sequences: [SequenceInsert.Sequence], into corpus: String) async throws -> Inserted
  func speculate(_ context: [Int32], corpus: String, _ options: DraftOptions) async throws -> Draft
  func openSession(corpus: String, prompt: [Int32], share: SessionOpen.Share) async throws
    -> any SessionAccess

  // The following operations take long. `progress` is called on any thread, or never.
  func mergeCorpus(
    from source: String, into target: String, progress: @escaping OperationProgress
  ) async throws -> CorpusMerged
  /// Removes any number of sequences by their ids.
  func forget(_ ids: [String], in corpus: String) async throws -> Forgotten
  func createSnapshot(
    of corpus: String, named name: String?, progress: @escaping OperationProgress
  ) async throws -> SnapshotDescription
  func snapshots() async throws -> [SnapshotDescription]
  func verifySnapshot(
    _ snapshot: SnapshotReference, progress: @escaping OperationProgress
  ) async throws -> SnapshotDescription
  func deleteSnapshot(_ name: String) async throws
  func restore(
    _ snapshot: SnapshotReference, into corpus: String, replacing: Bool,
    progress: @escaping OperationProgress
  ) async throws -> CorpusStatistics

  /// Ends the access; everything inserted is on disk.
  func close() async
}

extension HistoryAccess {
  /// Creates a corpus with the default settings if none of that name exists, with any settings.
  func makeCorpusIfMissing(_ name: String) async throws {
    if try await corpora().contains(where: { $0.corpus == name }) { return }
    _ = try await createCorpus(CorpusCreate(corpus: name))
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
