import Drafting
import WireProtocol

/// What commands do with a history, wherever it is.
protocol HistoryAccess: Sendable {
  /// Makes a corpus, or finds the one that stands with the same settings.
  func createCorpus(_ call: CorpusCreate) async throws -> CorpusDescription
  func corpora() async throws -> [CorpusStatistics]
  func stats(_ corpus: String) async throws -> CorpusStatistics
  func dropCorpus(_ name: String) async throws -> Bool
  func insert(_ sequences: [SequenceInsert.Sequence], into corpus: String) async throws -> Inserted
  func speculate(_ context: [Int32], corpus: String, _ options: DraftOptions) async throws -> Draft
  func openSession(corpus: String, prompt: [Int32], share: SessionOpen.Share) async throws
    -> any SessionAccess

  // What follows takes long. `progress` is called on any thread, or never.
  func mergeCorpus(
    from source: String, into target: String, progress: @escaping OperationProgress
  ) async throws -> CorpusMerged
  /// Any number of ids.
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

  /// Ends the access; what was inserted is on disk.
  func close() async
}

extension HistoryAccess {
  /// Makes a corpus with the usual settings where none of that name stands, whatever its settings.
  func makeCorpusIfMissing(_ name: String) async throws {
    if try await corpora().contains(where: { $0.corpus == name }) { return }
    _ = try await createCorpus(CorpusCreate(corpus: name))
  }
}

/// How long the two halves of a step took.
struct StepTimes {
  /// Adding the accepted tokens; nil where one exchange does both.
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
