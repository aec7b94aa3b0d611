import Glibc
import WireProtocol

/// The file of a Unix socket on which this process listens.
///
/// It is removed once, and only while the path still leads to the file that was bound: a service
/// that was started on the same path in the meantime keeps its own. The directory is locked for
/// binding and removing, so that two services that start or end at the same moment do so one after
/// the other.
final class SocketFile: Sendable {
  let path: String
  /// Keeps the file open, so that its inode number is not reused.
  private let file: Int32

  private init(_ path: String, _ file: Int32) {
    self.path = path
    self.file = file
  }

  deinit { close(file) }

  // MARK: Binding

  /// Listens at a path that is free, or at which a socket lies that no process answers on.
  ///
  /// Only the owner may use the file until it has its group and mode.
  ///
  /// - Parameter group: Name or number of the file's group; nil leaves the process's.
  /// - Returns: The listening socket, which does not block, and its file.
  /// - Throws: `pathTooLong`, `notASocket`, `unknownGroup`, `alreadyServed`, `cannotListen`.
  static func listen(
    path: String, mode: UInt32, group: String?
  ) throws(StartError) -> (socket: Int32, file: SocketFile) {
    try check(path: path, group: group)
    let lock = DirectoryLock(of: path)
    defer { lock.end() }
    // The path may have changed before the lock was taken.
    try check(path: path, group: nil)
    if try isAnswered(path) { throw .alreadyServed(path: path) }
    unsafe unlink(path)
    let socket = try unixSocket(path)
    // Linux creates the file with the mode of the socket.
    fchmod(socket, 0o600)
    var bound = false
    do throws(StartError) {
      try unsafe withAddress(path) { (address, size) throws(StartError) in
        try require(unsafe bind(socket, address, size) == 0, path)
      }
      bound = true
      if let group, let number = number(ofGroup: group) {
        try require(
          unsafe chown(path, uid_t.max, number) == 0, path,
          "its file cannot be given to group \(group): ")
      }
      try require(unsafe chmod(path, mode) == 0, path, "its file's mode cannot be set: ")
      try require(Glibc.listen(socket, Int32(backlog)) == 0, path)
      let file = unsafe open(path, pathOnly | O_NOFOLLOW | O_CLOEXEC)
      try require(file >= 0, path)
      return (socket, SocketFile(path, file))
    } catch {
      if bound { unsafe unlink(path) }
      close(socket)
      throw error
    }
  }

  /// O_PATH, which glibc declares for C programs only: the file itself, not the target of a link.
  private static let pathOnly: Int32 = 0o10000000
  /// Connections that wait to be accepted.
  static let backlog = 256

  /// Checks whether a service may listen at a path, as far as possible without listening.
  ///
  /// - Throws: `pathTooLong`, `notASocket`, `unknownGroup`.
  static func check(path: String, group: String?) throws(StartError) {
    if sockaddr_un(path: path) == nil {
      throw .pathTooLong(path: path, bytesMax: sockaddr_un.pathBytesMax)
    }
    if let group, number(ofGroup: group) == nil { throw .unknownGroup(group) }
    var status = stat()
    if unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT != S_IFSOCK {
      throw .notASocket(path: path)
    }
  }

  private static func unixSocket(_ path: String) throws(StartError) -> Int32 {
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let socket = Glibc.socket(AF_UNIX, kind, 0)
    try require(socket >= 0, path)
    return socket
  }

  /// True if a process listens at the path.
  private static func isAnswered(_ path: String) throws(StartError) -> Bool {
    let socket = try unixSocket(path)
    defer { close(socket) }
    var failure: Int32 = 0
    try unsafe withAddress(path) { (address, size) throws(StartError) in
      if unsafe connect(socket, address, size) != 0 { failure = errno }
    }
    // A full backlog, or a refused permission, shows that there is a service.
    return failure != ECONNREFUSED && failure != ENOENT
  }

  private static func withAddress<Result>(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(StartError) -> Result
  ) throws(StartError) -> Result {
    guard var address = sockaddr_un(path: path) else {
      throw .pathTooLong(path: path, bytesMax: sockaddr_un.pathBytesMax)
    }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    return try unsafe withUnsafePointer(to: &address) { (pointer) throws(StartError) in
      try unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        (address) throws(StartError) in
        try unsafe body(address, size)
      }
    }
  }

  /// Throws the error of the last system call.
  private static func require(
    _ success: Bool, _ path: String, _ what: String = ""
  ) throws(StartError) {
    if success { return }
    let failure = errno
    let reason =
      switch failure {
      case ENOENT, ENOTDIR:
        "its directory \(directory(of: path)) does not exist; create it"
      case EACCES, EPERM: "this user may not: \(systemError(failure))"
      default: systemError(failure)
      }
    throw .cannotListen(address: path, reason: what + reason)
  }

  private static func number(ofGroup name: String) -> gid_t? {
    if let number = gid_t(name) { return number }
    // SAFETY: getgrnam returns nil or an entry that stays until the next call; one thread starts.
    return unsafe getgrnam(name)?.pointee.gr_gid
  }

  // MARK: The end

  /// Removes the file, unless the path leads to another one by now.
  func remove() {
    let lock = DirectoryLock(of: path)
    defer { lock.end() }
    var (bound, found) = (stat(), stat())
    guard unsafe fstat(file, &bound) == 0, unsafe lstat(path, &found) == 0,
      bound.st_dev == found.st_dev, bound.st_ino == found.st_ino
    else { return }
    unsafe unlink(path)
  }

  /// True if an open socket is a Unix socket.
  static func isUnixSocket(_ descriptor: Int32) -> Bool {
    var domain: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    return unsafe getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0
      && domain == AF_UNIX
  }
}

/// The directory of a file.
private func directory(of path: String) -> String {
  guard let end = path.lastIndex(of: "/") else { return "." }
  return end == path.startIndex ? "/" : String(path[..<end])
}

/// An exclusive lock on the directory of a socket's file.
private struct DirectoryLock {
  private let descriptor: Int32

  private static let tries = 200
  private static let waitMicros: UInt32 = 10_000

  /// Waits for the lock. A file system without locks, or a process that holds it for two seconds,
  /// does not prevent a service from starting or ending.
  init(of path: String) {
    descriptor = unsafe open(directory(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if descriptor < 0 { return }
    for _ in 0..<Self.tries {
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK { return }
      usleep(Self.waitMicros)
    }
  }

  func end() {
    if descriptor >= 0 { close(descriptor) }
  }
}

/// An error number of the system in words.
func systemError(_ number: Int32) -> String {
  // SAFETY: strerror returns a C string for every number.
  unsafe String(cString: strerror(number))
}
