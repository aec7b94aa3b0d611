import CLMDB
import Files
import Glibc
import SystemPackage

/// LMDB's lock file, which holds the slots of readers.
enum LockFile {
  /// Allocates the file's blocks. LMDB creates it with ftruncate, and writes to it through a map: on
  /// a full disk that would end the process by SIGBUS.
  ///
  /// - Throws: `diskFull`.
  static func allocate(_ path: String, _ mode: UInt32) throws(LMDBError) {
    let descriptor: FileDescriptor
    do {
      descriptor = try .opened(
        path, .readWrite, .create, permissions: FilePermissions(rawValue: mode))
    } catch {
      throw .inaccessible(path: path, errno: error.rawValue)
    }
    // Closing would release this process's locks on the file; it has none yet.
    defer { try? descriptor.close() }
    // The file keeps its size, from which LMDB reads the number of readers.
    if clmdb_allocate(descriptor.rawValue, allocatedBytes) != 0 {
      // A file system without allocation offers nothing else.
      if errno == EOPNOTSUPP || errno == ENOSYS { return }
      throw LMDBError(errno)
    }
  }

  /// More than LMDB needs for 126 readers.
  private static let allocatedBytes = 3 * 4096
}
