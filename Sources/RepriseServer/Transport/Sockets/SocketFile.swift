import Files
import Glibc
import SystemPackage
import UnixSocket

/// The file of a Unix socket on which this process listens.
///
/// It is removed once, and only while the path still leads to the file that was bound: a service
/// that was started on the same path in the meantime keeps its own. The directory is locked for
/// binding and removing, so that two services that start or end at the same moment do so one after
/// the other.
final class SocketFile: Sendable {
  let path: String
  /// Keeps the file open, so that its inode number is not reused.
  private let file: FileDescriptor

  private init(_ path: String, _ file: FileDescriptor) {
    self.path = path
    self.file = file
  }

  deinit { try? file.close() }

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
    let address = try check(path: path, group: group)
    let lock = DirectoryLock(of: path)
    defer { lock.end() }
    // The path may have changed before the lock was taken.
    try check(path: path, group: nil)
    if try isAnswered(address, path) { throw .alreadyServed(path: path) }
    try? Files.remove(path)
    let socket = try unixSocket(path)
    // Linux creates the file with the mode of the socket.
    fchmod(socket, 0o600)
    var bound = false
    do throws(StartError) {
      try require(address.bind(socket) == 0, path)
      bound = true
      if let group, let number = number(ofGroup: group) {
        try require(path, "its file cannot be given to group \(group): ") { () throws(Errno) in
          try Files.setGroup(number, of: path)
        }
      }
      try require(path, "its file's mode cannot be set: ") { () throws(Errno) in
        try Files.setMode(mode, of: path)
      }
      try require(Glibc.listen(socket, Int32(backlog)) == 0, path)
      let file = try require(path) { () throws(Errno) in
        try FileDescriptor.opened(path, .readOnly, [pathOnly, .noFollow])
      }
      return (socket, SocketFile(path, file))
    } catch {
      if bound { try? Files.remove(path) }
      close(socket)
      throw error
    }
  }

  /// O_PATH, which glibc declares for C programs only: the file itself, not the target of a link.
  private static let pathOnly = FileDescriptor.OpenOptions(rawValue: 0o10000000)
  /// Connections that wait to be accepted.
  static let backlog = 256

  /// Checks whether a service may listen at a path, as far as possible without listening.
  ///
  /// - Throws: `pathTooLong`, `notASocket`, `unknownGroup`.
  @discardableResult
  static func check(path: String, group: String?) throws(StartError) -> UnixAddress {
    guard let address = UnixAddress(path: path) else {
      throw .pathTooLong(path: path, bytesMax: UnixAddress.pathBytesMax)
    }
    if let group, number(ofGroup: group) == nil { throw .unknownGroup(group) }
    if let status = try? Files.status(path, follows: false), status.type != .socket {
      throw .notASocket(path: path)
    }
    return address
  }

  private static func unixSocket(_ path: String) throws(StartError) -> Int32 {
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let socket = Glibc.socket(AF_UNIX, kind, 0)
    try require(socket >= 0, path)
    return socket
  }

  /// True if a process listens at the path.
  private static func isAnswered(
    _ address: UnixAddress, _ path: String
  ) throws(StartError) -> Bool {
    let socket = try unixSocket(path)
    defer { close(socket) }
    let failure = address.connect(socket) == 0 ? 0 : errno
    // A full backlog, or a refused permission, shows that there is a service.
    return failure != ECONNREFUSED && failure != ENOENT
  }

  /// Throws the error of the last call of the system, if it has failed.
  private static func require(_ success: Bool, _ path: String) throws(StartError) {
    if !success { throw refusal(Errno(rawValue: errno), path) }
  }

  private static func require<Result>(
    _ path: String, _ what: String = "", _ body: () throws(Errno) -> Result
  ) throws(StartError) -> Result {
    do { return try body() } catch { throw refusal(error, path, what) }
  }

  private static func refusal(_ error: Errno, _ path: String, _ what: String = "") -> StartError {
    let reason =
      switch error {
      case .noSuchFileOrDirectory, .notDirectory:
        "its directory \(directory(of: path)) does not exist; create it"
      case .permissionDenied, .notPermitted: "this user may not: \(error)"
      default: "\(error)"
      }
    return .cannotListen(address: path, reason: what + reason)
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
    guard let bound = try? file.stat(), let found = try? Files.status(path, follows: false),
      found.isSameFile(as: bound)
    else { return }
    try? Files.remove(path)
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
  private let descriptor: FileDescriptor?

  private static let tries = 200
  private static let waitMicros: UInt32 = 10_000

  /// Waits for the lock. A file system without locks, or a process that holds it for two seconds,
  /// does not prevent a service from starting or ending.
  init(of path: String) {
    descriptor = try? .opened(directory(of: path), .readOnly, .directory)
    guard let descriptor else { return }
    for _ in 0..<Self.tries {
      do {
        try descriptor.lockExclusively()
        return
      } catch {
        if error != .wouldBlock { return }
      }
      usleep(Self.waitMicros)
    }
  }

  func end() { try? descriptor?.close() }
}
