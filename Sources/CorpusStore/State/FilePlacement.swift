import Concurrency
import CorpusFormat
import LMDB
import StoreErrors

/// The check that a corpus's files are in their place. Nothing may be written to files that were
/// removed, renamed or replaced while they were in use.
final class FilePlacement: Sendable {
  private let stored: StoredHistory
  private let conditions: StandingConditions
  private let displacement = Locked<StoreError?>(nil)

  init(of stored: StoredHistory, _ conditions: StandingConditions) {
    self.stored = stored
    self.conditions = conditions
  }

  /// The reason why nothing may be written, as it was last noted.
  var failure: StoreError? { displacement.withLock { $0 } }

  /// Looks at the file. Called before each group of sequences is acknowledged.
  ///
  /// - Returns: The reason why nothing may be written.
  /// - Complexity: One fstat(2).
  func examine() -> StoreError? {
    let file = stored.file
    if file.environment.isRemoved {
      note(.displaced(what: "the file of corpus \(stored.corpus)"), at: file.path)
    }
    return failure
  }

  /// Raises or clears the condition of displaced files.
  ///
  /// - Parameter failure: nil if all files are in their place.
  func note(_ failure: StoreError?, at path: String) {
    displacement.withLock { $0 = failure }
    if let failure {
      conditions.raise(
        .directory, corpus: stored.corpus, cause: "\(path): \(failure)", tolerated: .zero)
    } else {
      conditions.clear(.directory, corpus: stored.corpus)
    }
  }

  /// True if a directory holds the files that are open.
  func isIn(_ directory: String) -> Bool {
    stored.fileUnlessClosed?.environment.isInPlace(in: directory) ?? true
  }
}
