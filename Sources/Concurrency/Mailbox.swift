/// The queue of a worker thread: other threads put jobs in, it takes them out, in an order of its own.
public final class Mailbox<Contents: Sendable>: Sendable {
  private struct State {
    var contents: Contents
    var isClosed = false
  }

  private let state: Locked<State>

  /// - Parameter contents: The jobs, and all other state that decides which one is next.
  public init(_ contents: Contents, rank: LockRank = .leaf) {
    state = Locked(State(contents: contents), rank: rank)
  }

  /// Changes the contents, and wakes the thread.
  ///
  /// - Returns: The result of `change`; nil if the mailbox is closed and nothing was changed.
  public func put<Result: Sendable>(_ change: (inout Contents) -> Result) -> Result? {
    state.wakeAll(after: { state in state.isClosed ? nil : change(&state.contents) })
  }

  /// Reads or changes the contents, even of a closed mailbox, and wakes all threads that wait.
  @discardableResult
  public func update<Result: Sendable>(_ body: (inout Contents) -> Result) -> Result {
    state.wakeAll(after: { state in body(&state.contents) })
  }

  /// Waits for the next job.
  ///
  /// - Parameter choose: Takes the job out of the contents, or sleeps.
  public func take<Job: Sendable>(
    _ choose: (_ contents: inout Contents, _ isClosed: Bool) -> Wait<Job>
  ) -> Job {
    state.wait { state in choose(&state.contents, state.isClosed) }
  }

  /// Waits until a condition of the contents holds.
  public func waitUntil(_ condition: (Contents) -> Bool) {
    state.wait { state in condition(state.contents) ? .done(()) : .sleep() }
  }

  /// Wakes all threads that wait, because of a change elsewhere that they look at.
  public func wakeAll() { state.wakeAll() }

  public var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Accepts no further jobs, and wakes the thread, which ends after those that are there.
  public func close() {
    state.wakeAll(after: { $0.isClosed = true })
  }
}
