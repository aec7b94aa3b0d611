import RepriseModel
import StoreErrors

/// Keeps the outputs of sessions that end.
package protocol OutputRecorder: AnyObject, Sendable {
  /// True if no output can be kept.
  var isReadOnly: Bool { get }

  /// Records the output of a session that is closing, with the lead-in before it.
  ///
  /// The recorder calls `SharedHistory.finish` and `DecodingSession.didClose`, and then the completion,
  /// once, on any thread.
  func record(
    _ text: [Int32], of session: DecodingSession,
    completion: @escaping @Sendable (Result<RecordReceipt, StoreError>) -> Void)
}
