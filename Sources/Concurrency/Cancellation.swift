import Synchronization

/// Signals to long work that its result is no longer wanted.
///
/// Long work checks it every few milliseconds and then ends with an error; the data that it was
/// about to change is unchanged. A cancellation within another one is cancelled with
/// it: a corpus's within its store's, a store's within that of the process that opens it.
public final class Cancellation: Sendable {
  private let flag = Atomic(false)
  private let outer: Cancellation?
  private let whenAsked: (@Sendable () -> Void)?

  /// Creates a cancellation that is cancelled by `cancel`, or with `outer`.
  public convenience init(within outer: Cancellation? = nil) {
    self.init(within: outer, whenAsked: nil)
  }

  /// Creates a cancellation for tests.
  ///
  /// - Parameter whenAsked: Called before each answer. A test counts the checks with it, or cancels
  ///   at one of them.
  package init(within outer: Cancellation? = nil, whenAsked: (@Sendable () -> Void)?) {
    self.outer = outer
    self.whenAsked = whenAsked
  }

  /// Cancels permanently. May be called at any time, from any thread, and more than once.
  public func cancel() { flag.store(true, ordering: .relaxed) }

  /// True if `cancel` was called here or on a cancellation around this one.
  ///
  /// - Complexity: A load for each cancellation around this one.
  public var isCancelled: Bool {
    whenAsked?()
    return flag.load(ordering: .relaxed) || (outer?.isCancelled ?? false)
  }
}

/// Receives the progress of long work: bytes or tokens done, and in all.
public typealias ProgressReceiver = @Sendable (_ done: Int, _ total: Int) -> Void
