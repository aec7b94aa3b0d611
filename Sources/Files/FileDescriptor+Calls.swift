import CLinux
import Glibc
import SystemPackage

/// swift-system's calls, with the error that they throw in their type, and those that it does not have.
/// A call that a signal interrupts is made again.
extension FileDescriptor {
  /// Opens a file at a path, which is taken as it is. A program that this process starts does not have
  /// it.
  package static func opened(
    _ path: String, _ mode: AccessMode, _ options: OpenOptions = [],
    permissions: FilePermissions? = nil
  ) throws(Errno) -> FileDescriptor {
    try typed {
      // SAFETY: the C string lives for the call.
      try unsafe path.withCString { path in
        try unsafe open(path, mode, options: options.union(.closeOnExec), permissions: permissions)
      }
    }
  }

  /// Creates a pipe, with room for some bytes where the system allows that.
  package static func pipe(
    bytes: Int
  ) throws(Errno) -> (readEnd: FileDescriptor, writeEnd: FileDescriptor) {
    var ends: [Int32] = [-1, -1]
    // SAFETY: the array has two numbers.
    let status = unsafe ends.withUnsafeMutableBufferPointer {
      unsafe make_pipe($0.baseAddress, Int32(bytes))
    }
    if status != 0 { throw Errno(rawValue: errno) }
    return (FileDescriptor(rawValue: ends[0]), FileDescriptor(rawValue: ends[1]))
  }

  package func closed() throws(Errno) { try typed { try close() } }

  /// Writes all bytes at the descriptor's place.
  package func write(_ bytes: RawSpan) throws(Errno) {
    var done = 0
    while done < bytes.byteCount {
      let rest = bytes.extracting(done..<bytes.byteCount)
      // SAFETY: the buffer is used within the closure only.
      let count = try unsafe rest.withUnsafeBytes { (bytes) throws(Errno) in
        try typed { try unsafe write(bytes) }
      }
      if count == 0 { throw .ioError }
      done += count
    }
  }

  /// Reads the next bytes into the beginning of an array. Returns their number: 0 at the end.
  package func read(into bytes: inout [UInt8], atMost countMax: Int = .max) throws(Errno) -> Int {
    // SAFETY: the buffer is used within the closure only, and the call stays inside it.
    try typed {
      try unsafe bytes.withUnsafeMutableBytes { bytes in
        try unsafe read(into: UnsafeMutableRawBufferPointer(rebasing: bytes.prefix(countMax)))
      }
    }
  }

  /// Reads bytes at a place of the file into an array. Returns their number, less than wanted only at the
  /// end.
  package func read(at offset: Int, into bytes: inout [UInt8]) throws(Errno) -> Int {
    // SAFETY: the buffer is used within the closure only.
    try typed {
      try unsafe bytes.withUnsafeMutableBytes { try unsafe read(at: offset, into: $0) }
    }
  }

  /// Reads bytes at a place of the file. Returns their number, less than wanted only at the end.
  package func read(at offset: Int, into bytes: UnsafeMutableRawBufferPointer) throws(Errno) -> Int
  {
    var done = 0
    while done < bytes.count {
      // SAFETY: stays inside the buffer.
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[done...])
      let count = try typed {
        try unsafe read(fromAbsoluteOffset: Int64(offset + done), into: rest)
      }
      if count == 0 { break }
      done += count
    }
    return done
  }

  /// Writes all bytes at a place of the file.
  package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(Errno) {
    var done = 0
    while done < bytes.count {
      // SAFETY: stays inside the buffer.
      let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
      let count = try typed {
        try unsafe write(toAbsoluteOffset: Int64(offset + done), rest)
      }
      if count == 0 { throw .ioError }
      done += count
    }
  }

  /// Returns when the file, its size and its times are on the disk.
  package func sync() throws(Errno) {
    if fsync(rawValue) != 0 { throw Errno(rawValue: errno) }
  }

  /// Returns when the file's bytes, and its size, are on the disk.
  package func syncData() throws(Errno) {
    if fdatasync(rawValue) != 0 { throw Errno(rawValue: errno) }
  }

  /// Takes the file's exclusive lock (flock(2)) without waiting for it.
  ///
  /// - Throws: `wouldBlock` where another descriptor has it.
  package func lockExclusively() throws(Errno) {
    if flock(rawValue, LOCK_EX | LOCK_NB) != 0 { throw Errno(rawValue: errno) }
  }
}

/// Tells the compiler what swift-system's documentation does: its calls throw an `Errno` and nothing else.
private func typed<Result>(_ body: () throws -> Result) throws(Errno) -> Result {
  do {
    return try body()
  } catch {
    guard let error = error as? Errno else { fatalError("swift-system threw \(error)") }
    throw error
  }
}
