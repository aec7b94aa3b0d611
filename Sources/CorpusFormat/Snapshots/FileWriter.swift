import CLinux
import Files
import StoreErrors
import SystemPackage

/// Writes a new file from its first byte to its last.
package final class FileWriter {
  private let path: String
  /// nil once the file is closed.
  private var descriptor: FileDescriptor?
  package private(set) var byteCount = 0
  private var writtenBack = 0

  /// The number of bytes after which write-back is started. It keeps the disk busy from the
  /// beginning, so that little remains to wait for at the end, and other syncs do not wait behind
  /// gigabytes.
  private static let writeBackBytes = 4 << 20

  /// Creates the file, or empties an existing one.
  package init(_ path: String) throws(StoreError) {
    self.path = path
    descriptor = try systemCall(on: path) { () throws(Errno) in
      try .opened(path, .writeOnly, [.create, .truncate], permissions: .ownerReadWrite)
    }
  }

  deinit { try? descriptor?.close() }

  package func append(_ bytes: RawSpan) throws(StoreError) {
    guard let descriptor else { preconditionFailure("the file is finished") }
    try systemCall(on: path) { () throws(Errno) in try descriptor.write(bytes) }
    byteCount += bytes.byteCount
    if byteCount - writtenBack >= Self.writeBackBytes {
      begin_writing_back(descriptor.rawValue, writtenBack, byteCount - writtenBack)
      writtenBack = byteCount
    }
  }

  /// Syncs and closes the file, which is on disk when this returns.
  package func finish() throws(StoreError) {
    guard let descriptor else { preconditionFailure("the file is finished") }
    try systemCall(on: path) { () throws(Errno) in
      try descriptor.sync()
      self.descriptor = nil
      try descriptor.closed()
    }
  }

  package static func write(_ bytes: [UInt8], to path: String) throws(StoreError) {
    let file = try FileWriter(path)
    try file.append(bytes.rawSpan)
    try file.finish()
  }
}
