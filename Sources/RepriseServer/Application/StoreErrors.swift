import CorpusStore
import Logging
import RepriseModel
import StoreErrors
import WireProtocol

/// Translates the store's errors to those of the wire.
struct StoreErrors: Sendable {
  let logger: Logger

  /// The wire's error for one of the store's. Full paths of this machine appear in the log alone.
  ///
  /// - Parameters:
  ///   - corpus: The corpus that the call was for.
  ///   - snapshotMember: The member of the call that names a snapshot.
  func translated(
    _ error: StoreError, corpus: CorpusName? = nil, snapshotMember: String = "params.snapshot"
  ) -> WireError {
    if error.descriptionForClients != error.description {
      logger.warning("the store refused a call", metadata: ["error": "\(error)"])
    }
    return WireError(error, corpus: corpus, snapshotMember: snapshotMember)
  }

  /// Runs `body` and translates its error.
  func translating<Value>(
    corpus: CorpusName? = nil, snapshotMember: String = "params.snapshot",
    _ body: () throws(StoreError) -> Value
  ) throws(WireError) -> Value {
    do throws(StoreError) {
      return try body()
    } catch {
      throw translated(error, corpus: corpus, snapshotMember: snapshotMember)
    }
  }
}
