import Concurrency
import CorpusFormat
import RepriseModel
import StoreErrors

/// Looks at a store, or a snapshot, that this process does not have open. Changes nothing.
public enum StoreInspection {
  /// Checks whether a store could be opened, or created, in a directory. Does not read corpora.
  ///
  /// - Throws: `notAStore`, `formatVersion`; `inaccessible` where the directory cannot be read.
  public static func examine(path: String) throws(StoreError) {
    _ = try StoreDirectory(path: path).examine()
  }

  /// The number of corpora in a store; 0 if there is no store.
  public static func corpusCount(path: String) -> Int {
    (try? StoreDirectory(path: path).corpusNames().count) ?? 0
  }

  /// Reads a snapshot's file and compares it with its digest.
  ///
  /// - Throws: `snapshotDamaged`, `formatVersion`, `notAFile`; `inaccessible` if it cannot be read.
  public static func examine(
    snapshot path: String, cancellation: Cancellation = Cancellation()
  ) throws(StoreError) {
    try SnapshotFile.verify(path, cancellation)
  }

  /// Searches for damage in a store's directory, also while another process has it open.
  ///
  /// It checks the structure of each database; the checksum of each record, chunk and sequence;
  /// that ids and sequences refer to each other; the structure of each index, and counts of
  /// patterns drawn at random; each snapshot's digest and contents.
  ///
  /// - Parameters:
  ///   - deep: True if every index is rebuilt from its text, and compared byte by byte.
  ///   - memory: The budget of the process: building an index takes some 30 bytes a token.
  ///   - cancellation: Checked every few milliseconds.
  ///   - progress: Called with the name of each part before it is checked.
  /// - Throws: An error if there is no store, or it cannot be read; `cancelled`; `memoryShort` if
  ///   there is not enough memory to rebuild an index.
  public static func check(
    path: String, deep: Bool = false, memory: MemoryBudget = MemoryBudget(),
    cancellation: Cancellation = Cancellation(),
    progress: (_ what: String) -> Void = { _ in }
  ) throws(StoreError) -> CheckReport {
    var options = StoreOptions()
    options.compactsInBackground = false
    options.cancellation = cancellation
    options.memory = memory
    return try StoreCheck(StoreDirectory(path: path), deep: deep, options).run(progress)
  }
}
