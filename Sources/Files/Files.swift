import CLinux
import Glibc
import SystemPackage

/// Calls of the system for files by their paths. All take a path as it is, and throw the system's error.
package enum Files {
  /// Creates a directory that its owner alone may use.
  package static func createDirectory(_ path: String) throws(Errno) {
    try check(unsafe mkdir(path, 0o700))
  }

  /// Moves a file or a directory to a place on the same file system, at once; a file that stands there
  /// is replaced.
  package static func move(_ path: String, to place: String) throws(Errno) {
    try check(unsafe rename(path, place))
  }

  /// Puts each of two files, or directories, in the place of the other, at once.
  ///
  /// - Throws: `invalidArgument` where the file system cannot.
  package static func exchange(_ path: String, _ other: String) throws(Errno) {
    try check(unsafe exchange_files(path, other))
  }

  /// Removes a file.
  package static func remove(_ path: String) throws(Errno) { try check(unsafe unlink(path)) }

  package static func setMode(_ mode: UInt32, of path: String) throws(Errno) {
    try check(unsafe chmod(path, mode))
  }

  /// Gives a file to another group; its owner stays.
  package static func setGroup(_ group: gid_t, of path: String) throws(Errno) {
    try check(unsafe chown(path, uid_t.max, group))
  }

  /// Looks whether a path leads to something that this process may read.
  package static func checkReadable(_ path: String) throws(Errno) {
    try check(unsafe access(path, R_OK))
  }

  /// True if a path leads to something.
  package static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

  /// The properties of a file.
  ///
  /// - Parameter follows: False for those of a symbolic link itself.
  package static func status(_ path: String, follows: Bool = true) throws(Errno) -> Stat {
    // SAFETY: the C string lives for the call.
    let result = unsafe path.withCString { path in
      Result { () throws(Errno) in unsafe try Stat(path, followTargetSymlink: follows) }
    }
    return try result.get()
  }
}

extension Stat {
  /// True of two looks at one file, also under several names.
  package func isSameFile(as other: Stat) -> Bool {
    deviceID == other.deviceID && inode == other.inode
  }
}

/// Throws the error of a call of the system that has failed.
private func check(_ status: Int32) throws(Errno) {
  if status != 0 { throw Errno(rawValue: errno) }
}
