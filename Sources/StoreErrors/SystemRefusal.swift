import Files
import Glibc
import SystemPackage

/// The meaning of the system's error numbers for a file of a store, with a remedy for each.
package enum SystemRefusal {
  /// The sentence for an error number.
  ///
  /// - Parameter shown: The form in which a path is shown.
  static func reason(_ code: Int32, _ path: String, _ shown: (String) -> String) -> String {
    switch code {
    case ENOENT:
      "there is no \(shown(firstMissing(path))); create it, or name another path"
    case ENOTDIR: "a part of its path is a file; name another path"
    case EACCES, EPERM: "this user may not use it; see its owner and its mode"
    case EROFS: "its file system is read-only"
    case EMFILE:
      "this process has as many files open as its limit of open files allows\(filesMax); raise the "
        + "limit, or use fewer corpora and connections"
    case EAGAIN:
      "this process may have no more threads; raise the limit of its user (ulimit -u) or of its "
        + "control group (pids.max)"
    case ENFILE: "the system has as many files open as it allows; raise its limit (fs.file-max)"
    default:
      "\(Errno(rawValue: code)); look at the system's log"
    }
  }

  private static var filesMax: String {
    var limit = rlimit()
    let status = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return status == 0 ? " (\(limit.rlim_cur))" : ""
  }

  /// The beginning of a path up to its first component that does not exist.
  private static func firstMissing(_ path: String) -> String {
    var missing = path
    while let slash = missing.lastIndex(of: "/"), slash > missing.startIndex {
      let parent = String(missing[..<slash])
      if Files.exists(parent) { break }
      missing = parent
    }
    return missing
  }

  /// The bytes that are free for this user on the file system of a path, and its total bytes.
  static func disk(_ path: String) -> (freeBytes: Int, bytes: Int) {
    var status = statvfs()
    // A file that could not be created does not exist; its directory does.
    let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    guard unsafe statvfs(path, &status) == 0 || statvfs(parent, &status) == 0 else {
      return (0, 0)
    }
    return (
      Int(clamping: status.f_bavail * status.f_frsize),
      Int(clamping: status.f_blocks * status.f_frsize)
    )
  }

  /// True if hardly anything can be written to the file system of a path.
  package static func isFull(_ path: String) -> Bool {
    let disk = disk(path)
    return disk.bytes > 0 && disk.freeBytes < 1 << 20
  }
}
