import Files
import StoreErrors
import SystemPackage

/// Reads a file, or the end of a pipe, from its first byte to its last.
package final class FileReader {
  private let path: String
  private let descriptor: FileDescriptor
  /// Empty until something is read in order: a manifest alone needs none.
  private var buffer: [UInt8] = []

  private static let bufferBytes = 1 << 20

  /// Opens a file.
  ///
  /// - Throws: `notAFile` for anything but a regular file, which might have no end.
  package init(_ path: String) throws(StoreError) {
    self.path = path
    // Opening a pipe without a writer would block without O_NONBLOCK.
    descriptor = try systemCall(on: path) { () throws(Errno) in
      try .opened(path, .readOnly, .nonBlocking)
    }
    if try status().type != .regular { throw .notAFile(path: path) }
  }

  /// Reads from a descriptor, which the reader closes at the end.
  package init(descriptor: FileDescriptor, of path: String) {
    self.path = path
    self.descriptor = descriptor
  }

  deinit { try? descriptor.close() }

  /// The size of the file in bytes.
  package func byteCount() throws(StoreError) -> Int {
    Int(try status().size)
  }

  private func status() throws(StoreError) -> Stat {
    try systemCall(on: path) { () throws(Errno) in try descriptor.stat() }
  }

  /// Calls `body` with the next bytes, at most `countMax`. Returns their number: 0 at the end.
  package func next(
    atMost countMax: Int = .max, _ body: (RawSpan) throws(StoreError) -> Void
  ) throws(StoreError) -> Int {
    if buffer.isEmpty { buffer = [UInt8](repeating: 0, count: Self.bufferBytes) }
    let count = try systemCall(on: path) { () throws(Errno) in
      try descriptor.read(into: &buffer, atMost: countMax)
    }
    // A reference, which keeps the bytes in place while `body` reads them.
    let bytes = buffer
    if count > 0 { try body(bytes.rawSpan.extracting(first: count)) }
    return count
  }

  /// The last bytes of a file.
  package func last(_ count: Int) throws(StoreError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let start = try byteCount() - count
    let read = try systemCall(on: path) { () throws(Errno) in
      try descriptor.read(at: start, into: &bytes)
    }
    if read < count { throw StoreError(.ioError, path: path) }
    return bytes
  }
}
