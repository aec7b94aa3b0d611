import CLinux
import CXXHash
import Glibc

/// Writes a new file from its first byte to its last.
@safe
final class FileWriter {
  private let path: String
  private var descriptor: Int32
  private(set) var byteCount = 0
  private var writtenBack = 0

  /// The number of bytes after which write-back is started. It keeps the disk busy from the
  /// beginning, so that little remains to wait for at the end, and other syncs do not wait behind
  /// gigabytes.
  private static let writeBackBytes = 4 << 20

  /// Creates the file, or empties an existing one.
  init(_ path: String) throws(StoreError) {
    self.path = path
    descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    try StoreDirectory.check(descriptor >= 0, path)
  }

  deinit {
    if descriptor >= 0 { Glibc.close(descriptor) }
  }

  func append(_ bytes: RawSpan) throws(StoreError) {
    var done = 0
    while done < bytes.byteCount {
      let rest = bytes.extracting(done..<bytes.byteCount)
      // SAFETY: the buffer is used within the closure only.
      let count = unsafe rest.withUnsafeBytes { bytes in
        unsafe Glibc.write(descriptor, bytes.baseAddress, bytes.count)
      }
      if count < 0 && errno == EINTR { continue }
      try StoreDirectory.check(count > 0, path)
      done += count
      byteCount += count
    }
    if byteCount - writtenBack >= Self.writeBackBytes {
      begin_writing_back(descriptor, writtenBack, byteCount - writtenBack)
      writtenBack = byteCount
    }
  }

  /// Syncs and closes the file, which is on disk when this returns.
  func finish() throws(StoreError) {
    try StoreDirectory.check(fsync(descriptor) == 0, path)
    let descriptor = descriptor
    self.descriptor = -1
    try StoreDirectory.check(Glibc.close(descriptor) == 0, path)
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
@safe
final class FileReader {
  private let path: String
  private let descriptor: Int32
  // SAFETY: allocated in `init`, freed in `deinit`.
  private let buffer: UnsafeMutableRawBufferPointer

  private static let bufferBytes = 1 << 20

  /// Opens a file.
  ///
  /// - Throws: `notAFile` for anything but a regular file, which might have no end.
  init(_ path: String) throws(StoreError) {
    self.path = path
    // Opening a pipe without a writer would block without O_NONBLOCK.
    descriptor = unsafe open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    unsafe buffer = .allocate(byteCount: Self.bufferBytes, alignment: 64)
    try StoreDirectory.check(descriptor >= 0, path)
    if try status().st_mode & S_IFMT != S_IFREG { throw .notAFile(path: path) }
  }

  /// Reads from a descriptor, which the reader closes at the end.
  init(descriptor: Int32, of path: String) {
    self.path = path
    self.descriptor = descriptor
    unsafe buffer = .allocate(byteCount: Self.bufferBytes, alignment: 64)
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
    unsafe buffer.deallocate()
  }

  /// The size of the file in bytes.
  func byteCount() throws(StoreError) -> Int {
    Int(try status().st_size)
  }

  private func status() throws(StoreError) -> stat {
    var status = stat()
    try StoreDirectory.check(unsafe fstat(descriptor, &status) == 0, path)
    return status
  }

  /// Calls `body` with the next bytes, at most `count`. Returns their number: 0 at the end.
  func next(
    atMost count: Int = .max, _ body: (RawSpan) throws(StoreError) -> Void
  ) throws(StoreError) -> Int {
    while true {
      let count = unsafe read(descriptor, buffer.baseAddress, min(count, buffer.count))
      if count < 0 && errno == EINTR { continue }
      try StoreDirectory.check(count >= 0, path)
      // SAFETY: `count` bytes were just read, and the buffer is not changed until `body` returns.
      if count > 0 { try body(unsafe RawSpan(_unsafeBytes: buffer[..<count])) }
      return count
    }
  }

  /// The last bytes of a file.
  func last(_ count: Int) throws(StoreError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let start = try byteCount() - count
    let read = unsafe bytes.withUnsafeMutableBytes { bytes in
      unsafe pread(descriptor, bytes.baseAddress, count, start)
    }
    try StoreDirectory.check(read == count, path)
    return bytes
  }
}
