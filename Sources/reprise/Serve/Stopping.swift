import Concurrency
import CorpusStore
import Glibc
import Logging
import RepriseServer

/// The end of a service. It begins with the first SIGTERM or SIGINT, in any phase, and takes no
/// longer than `drain`.
///
/// A thread of its own watches the time, so that no blocked thread can delay it. When the time is
/// over, all acknowledged data is written and the process exits with 1.
final class Stopping: Sendable {
  /// Cancelled when stopping begins before the store is open.
  let opening = Cancellation()
  private let drain: Duration
  private let logger: Logger
  private let state = Locked(State())
  private let beginning: AsyncStream<Never>
  private let begins: AsyncStream<Never>.Continuation

  private struct State {
    var hasBegun = false
    var storeIsClosed = false
    var phase = "opening the store"
    var store: Store?
    var service: RepriseServer?
  }

  /// Seconds for writing acknowledged data, after `drain`. A disk that does not answer takes
  /// longer.
  private static let timeForSaving = Duration.seconds(5)

  init(drain: Duration, _ logger: Logger) {
    self.drain = drain
    self.logger = logger
    (beginning, begins) = AsyncStream.makeStream()
  }

  /// Begins stopping. A second call only writes a line to the log.
  ///
  /// - Parameter signal: The signal's name.
  func begin(signal: String) {
    let (isFirst, isOpening) = state.withLock { state in
      defer { state.hasBegun = true }
      return (!state.hasBegun, state.store == nil)
    }
    guard isFirst else {
      logger.notice("stopping already", metadata: ["signal": "\(signal)"])
      return
    }
    logger.notice("stopping", metadata: ["signal": "\(signal)"])
    let deadline = ContinuousClock.now + drain
    do throws(WorkerThread.Refusal) {
      _ = try WorkerThread("reprise-stop", .ordinary) { [self] in
        let isClosed: Bool = state.wait { state in
          Wait(for: state.storeIsClosed, until: deadline)
        }
        if !isClosed { giveUp() }
      }
    } catch {
      logger.error("no thread is left that could bound the time of stopping")
    }
    if isOpening { opening.cancel() }
    begins.finish()
  }

  /// Returns when stopping has begun. For one caller.
  func begun() async { for await _ in beginning {} }

  /// Notes that the store is open. If stopping began just before, the store stays open, and is
  /// closed as soon as it serves.
  func opened(_ store: Store) {
    state.withLock { state in
      state.store = store
      state.phase = "opening sockets"
    }
  }

  func serves(_ service: RepriseServer) {
    state.withLock { state in
      state.service = service
      state.phase = "requests that were received"
    }
  }

  /// Closes the store within the remaining time.
  ///
  /// - Returns: A sentence on each corpus with acknowledged data that is not on disk.
  @discardableResult
  func close(_ store: Store) async -> [String] {
    let service = state.withLock { state in
      defer { (state.service, state.phase) = (nil, "closing the store") }
      return state.service
    }
    // Released outside of the lock: the end of a service takes locks of its own.
    _ = consume service
    let losses = (try? await onThread { store.close() }) ?? []
    state.wakeAll(after: { $0.storeIsClosed = true })
    return losses
  }

  // MARK: The end of the time

  private func giveUp() -> Never {
    let state = state.withLock { $0 }
    var work = state.store?.workUnderWay ?? []
    if let operation = state.service?.operationUnderWay { work.append(operation) }
    logger.error(
      "not done in time: giving up",
      metadata: [
        "drain_seconds": "\(drain.components.seconds)", "waited_for": "\(state.phase)",
        "given_up": "\(work.isEmpty ? "nothing else" : work.joined(separator: ", "))",
      ])
    // Abandoned work is either complete or absent at the next start, never half done.
    let saved = Locked(false)
    let save: @Sendable () -> Void = { [logger] in
      state.store?.cancelLongWork()
      for loss in state.store?.commitAll() ?? [] { logger.error("\(loss)") }
      saved.wakeAll(after: { $0 = true })
    }
    // Without another thread, this one saves, for as long as the disk takes.
    if (try? WorkerThread("reprise-save", .ordinary, save)) == nil { save() }
    let deadline = ContinuousClock.now + Self.timeForSaving
    let isSaved: Bool = saved.wait { isSaved in Wait(for: isSaved, until: deadline) }
    if !isSaved {
      logger.error(
        "the last acknowledged data could not be written",
        metadata: ["seconds": "\(Self.timeForSaving.components.seconds)"])
    }
    // Other threads continue until the end, so nothing that they use is destroyed before.
    _exit(1)
  }
}
