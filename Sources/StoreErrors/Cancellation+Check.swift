import Concurrency

extension Cancellation {
  /// Throws if the work is cancelled.
  ///
  /// - Throws: `StoreError.cancelled` once `cancel` was called.
  package func check() throws(StoreError) {
    if isCancelled { throw .cancelled }
  }
}
