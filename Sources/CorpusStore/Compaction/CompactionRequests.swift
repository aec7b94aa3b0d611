import Concurrency
import HistoryEngine
import RepriseModel

/// The requests of one corpus to the threads that compact it.
///
/// It exists before the corpus's history does, which makes requests, and outlives the work on it: a
/// request of a closed corpus does nothing.
final class CompactionRequests: HistoryKeeper, RoomMaker {
  let corpus: CorpusName
  /// nil if the corpus is compacted on request only.
  private let compactor: Compactor?
  /// nil before the corpus is open, and once it is closed.
  private let target = Locked<CorpusCompaction?>(nil)

  init(of corpus: CorpusName, to compactor: Compactor?) {
    self.corpus = corpus
    self.compactor = compactor
  }

  var work: CorpusCompaction? { target.withLock { $0 } }

  /// Begins to serve requests.
  func begin(_ work: CorpusCompaction) {
    target.withLock { $0 = work }
    requestSealing()
  }

  /// Stops serving requests, and waits until no work on the corpus is under way.
  func end() {
    // The work and this object refer to each other.
    let work = target.withLock { $0.take() }
    compactor?.remove(self)
    withExtendedLifetime(work) {}
  }

  func requestSealing() { compactor?.add(self) }

  func requestRepair() { compactor?.add(self, repairing: true) }

  /// Has the oldest sequences removed on another thread. The request for room ends when that is done.
  func makeRoom() {
    if let compactor { return compactor.add(self) }
    guard let work else { return }
    // An error is kept for the job that waits.
    _ = WorkerThread(required: "reprise-room", .background) {
      _ = try? work.retention.keepWithinBounds()
    }
  }
}
