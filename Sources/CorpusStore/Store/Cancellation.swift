import Synchronization

/// Tells long work that its result is not wanted any more.
///
/// Long work asks every few milliseconds and then ends with `StoreError.cancelled`; what it was about to
/// change is as it was before. A cancellation within another one is cancelled with it: a corpus's within
/// its store's, a store's within that of the process that opens it.
public final class Cancellation: Sendable {
  private let flag = Atomic(false)
  private let outer: Cancellation?
  private let whenAsked: (@Sendable () -> Void)?

  /// Makes a cancellation that is cancelled by `cancel`, or with `outer`.
  public convenience init(within outer: Cancellation? = nil) {
    self.init(within: outer, whenAsked: nil)
  }

  /// - Parameter whenAsked: Is called before each answer. A test counts the questions with it, or cancels
  ///   at one of them.
  init(within outer: Cancellation? = nil, whenAsked: (@Sendable () -> Void)?) {
    self.outer = outer
    self.whenAsked = whenAsked
  }

  /// Cancels for good. May be called at any time, from any thread, and more than once.
  public func cancel() { flag.store(true, ordering: .relaxed) }

  /// Whether `cancel` was called.
  ///
  /// - Complexity: A load for each cancellation around this one.
  public var isCancelled: Bool {
    whenAsked?()
    return flag.load(ordering: .relaxed) || (outer?.isCancelled ?? false)
  }

  /// - Throws: `StoreError.cancelled` once `cancel` was called.
  func check() throws(StoreError) {
    if isCancelled { throw .cancelled }
  }
}
