import Concurrency
import RepriseModel
import StoreErrors

/// The request of the writer for room in a bounded history, and its outcome.
///
/// While room is made, jobs that add history wait.
final class RoomRequest: Sendable {
  private struct State {
    var needed: HistorySize?
    var failure: StoreError?
  }

  private let state = Locked(State())

  /// The size that the next job needs, while the oldest sequences leave to make room for it.
  var needed: HistorySize? { state.withLock { $0.needed } }

  func begin(_ needed: HistorySize) { state.withLock { $0.needed = needed } }

  func end(failure: StoreError?) {
    state.withLock { $0 = State(needed: nil, failure: failure) }
  }

  /// The reason why no room could be made for the next job. It is returned once: for the job after
  /// that, making room is tried again.
  func takeFailure() -> StoreError? { state.withLock { $0.failure.take() } }
}

/// Has the oldest sequences removed on another thread.
protocol RoomMaker: Sendable {
  func makeRoom()
}
