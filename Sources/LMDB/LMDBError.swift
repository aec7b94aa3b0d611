import CLMDB
import Glibc
import SystemPackage

/// A refusal of LMDB or the system, its usual cause, and the remedy.
public enum LMDBError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The map is full; nothing was written. Reopen with a larger `mapBytes`.
  case mapFull
  /// Every reader slot is taken: more read transactions are open than `readersMax`.
  case readersFull
  /// The disk is full; nothing was written.
  case diskFull
  /// The disk failed to read or write, now or when the environment was last written to. If the disk
  /// works again, open the environment anew.
  case inputOutput
  /// The file is not an LMDB environment, or its pages are invalid.
  case damaged
  /// A page of the file is invalid: the file was damaged after it was written. `table` is the named
  /// table that the page belongs to, nil for LMDB's own. Restore an intact copy.
  case damagedPage(page: Int, table: String?, reason: String)
  /// The file was written by another version of LMDB.
  case versionMismatch
  /// The file is missing, this user is not permitted to open it, or the file system is read-only.
  case inaccessible(path: String, errno: Int32)
  /// This process has the environment open already; opening it twice would break its locks.
  case alreadyOpen(path: String)
  /// Anything else, with LMDB's own words.
  case other(code: Int32, message: String)

  init(_ code: Int32) {
    switch code {
    case MDB_MAP_FULL: self = .mapFull
    case MDB_READERS_FULL: self = .readersFull
    case ENOSPC, EDQUOT: self = .diskFull
    // LMDB reports MDB_PANIC when it could not write a meta page: the data on the disk is sound,
    // and the environment must be opened again before anything more is written.
    case EIO, MDB_PANIC: self = .inputOutput
    case MDB_CORRUPTED, MDB_INVALID, MDB_PAGE_NOTFOUND: self = .damaged
    case MDB_VERSION_MISMATCH: self = .versionMismatch
    default:
      // SAFETY: LMDB returns a pointer to a constant or thread-local C string for every code.
      self = .other(code: code, message: unsafe String(cString: mdb_strerror(code)))
    }
  }

  public var description: String {
    switch self {
    case .mapFull: "the map is full; reopen with a larger map"
    case .readersFull: "every reader slot is taken; fewer read transactions may be open at once"
    case .diskFull: "the disk is full"
    case .inputOutput: "the disk failed to read or write"
    case .damaged: "the file is not an LMDB environment, or is damaged"
    case .damagedPage(let page, let table, let reason):
      "page \(page)\(table.map { " of table \($0)" } ?? ""): \(reason)"
    case .versionMismatch: "the file was written by another version of LMDB"
    case .inaccessible(let path, let errno):
      "\(path): \(Errno(rawValue: errno))"
    case .alreadyOpen(let path): "\(path) is open in this process already"
    case .other(let code, let message): "LMDB error \(code): \(message)"
    }
  }
}

/// Throws unless the code reports success.
@inline(__always)
func check(_ code: Int32) throws(LMDBError) {
  if code != MDB_SUCCESS { throw LMDBError(code) }
}
