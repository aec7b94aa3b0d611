import CLinux
import CXXHash
import Files
import SystemPackage

/// Writes a new file from its first byte to its last.
final class FileWriter {
  private let path: String
  /// nil once the file is closed.
  private var descriptor: FileDescriptor?
  private(set) var byteCount = 0
  private var writtenBack = 0

  /// The number of bytes after which write-back is started. It keeps the disk busy from the
  /// beginning, so that little remains to wait for at the end, and other syncs do not wait behind
  /// gigabytes.
  private static let writeBackBytes = 4 << 20

  /// Creates the file, or empties an existing one.
  init(_ path: String) throws(StoreError) {
    self.path = path
    descriptor = try systemCall(on: path) { () throws(Errno) in
      try .opened(path, .writeOnly, [.create, .truncate], permissions: .ownerReadWrite)
    }
  }

  deinit { try? descriptor?.close() }

  func append(_ bytes: RawSpan) throws(StoreError) {
    guard let descriptor else { preconditionFailure("the file is finished") }
    try systemCall(on: path) { () throws(Errno) in try descriptor.write(bytes) }
    byteCount += bytes.byteCount
    if byteCount - writtenBack >= Self.writeBackBytes {
      begin_writing_back(descriptor.rawValue, writtenBack, byteCount - writtenBack)
      writtenBack = byteCount
    }
  }

  /// Syncs and closes the file, which is on disk when this returns.
  func finish() throws(StoreError) {
    guard let descriptor else { preconditionFailure("the file is finished") }
    try systemCall(on: path) { () throws(Errno) in
      try descriptor.sync()
      self.descriptor = nil
      try descriptor.closed()
    }
  }

  static func write(_ bytes: [UInt8], to path: String) throws(StoreError) {
    let file = try FileWriter(path)
    try file.append(bytes.rawSpan)
    try file.finish()
  }
}

/// The 128-bit XXH3 of bytes that arrive in pieces.
@safe
final class StreamingDigest {
  // SAFETY: created in `init`, freed in `deinit`, used by one thread at a time.
  private let state: OpaquePointer

  init() {
    guard let state = unsafe XXH3_createState() else { fatalError("no memory for a digest") }
    unsafe self.state = state
    unsafe XXH3_128bits_reset(state)
  }

  deinit { unsafe XXH3_freeState(state) }

  func append(_ bytes: RawSpan) {
    // SAFETY: the buffer is used within the closure only.
    unsafe bytes.withUnsafeBytes { bytes in
      _ = unsafe XXH3_128bits_update(state, bytes.baseAddress, bytes.count)
    }
  }

  var value: Digest {
    let hash = unsafe XXH3_128bits_digest(state)
    return Digest(low: hash.low64, high: hash.high64)
  }
}

/// A 128-bit digest, written as 32 hexadecimal digits.
struct Digest: Equatable, Sendable, CustomStringConvertible {
  var low: UInt64
  var high: UInt64

  var description: String {
    [high, low].map { number in
      let digits = String(number, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }
}

/// Reads a file, or the end of a pipe, from its first byte to its last.
final class FileReader {
  private let path: String
  private let descriptor: FileDescriptor
  private var buffer = [UInt8](repeating: 0, count: bufferBytes)

  private static let bufferBytes = 1 << 20

  /// Opens a file.
  ///
  /// - Throws: `notAFile` for anything but a regular file, which might have no end.
  init(_ path: String) throws(StoreError) {
    self.path = path
    // Opening a pipe without a writer would block without O_NONBLOCK.
    descriptor = try systemCall(on: path) { () throws(Errno) in
      try .opened(path, .readOnly, .nonBlocking)
    }
    if try status().type != .regular { throw .notAFile(path: path) }
  }

  /// Reads from a descriptor, which the reader closes at the end.
  init(descriptor: FileDescriptor, of path: String) {
    self.path = path
    self.descriptor = descriptor
  }

  deinit { try? descriptor.close() }

  /// The size of the file in bytes.
  func byteCount() throws(StoreError) -> Int {
    Int(try status().size)
  }

  private func status() throws(StoreError) -> Stat {
    try systemCall(on: path) { () throws(Errno) in try descriptor.stat() }
  }

  /// Calls `body` with the next bytes, at most `countMax`. Returns their number: 0 at the end.
  func next(
    atMost countMax: Int = .max, _ body: (RawSpan) throws(StoreError) -> Void
  ) throws(StoreError) -> Int {
    let count = try systemCall(on: path) { () throws(Errno) in
      try descriptor.read(into: &buffer, atMost: countMax)
    }
    // A reference, which keeps the bytes in place while `body` reads them.
    let bytes = buffer
    if count > 0 { try body(bytes.rawSpan.extracting(first: count)) }
    return count
  }

  /// The last bytes of a file.
  func last(_ count: Int) throws(StoreError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let start = try byteCount() - count
    let read = try systemCall(on: path) { () throws(Errno) in
      try descriptor.read(at: start, into: &bytes)
    }
    if read < count { throw StoreError(.ioError, path: path) }
    return bytes
  }
}
