import Concurrency
import Glibc
import StoreErrors

/// A snapshot's file, which is verified before LMDB reads any of it.
package enum SnapshotFile {
  /// Reads the manifest alone.
  package static func manifest(_ path: String) throws(StoreError) -> SnapshotManifest {
    try manifest(try FileReader(path), path)
  }

  private static func manifest(
    _ reader: FileReader, _ path: String
  ) throws(StoreError) -> SnapshotManifest {
    let fileBytes = try reader.byteCount()
    guard fileBytes >= 2 * SnapshotManifest.byteCount else {
      throw .snapshotDamaged(
        snapshot: path, reason: "it has \(fileBytes) bytes, fewer than any snapshot")
    }
    let last = try reader.last(SnapshotManifest.byteCount)
    do throws(SnapshotManifest.Unreadable) {
      return try SnapshotManifest(last, fileBytes: fileBytes)
    } catch {
      if let version = error.version {
        throw .formatVersion(
          path: path, found: Int(version), expected: Int(SnapshotManifest.version))
      }
      throw .snapshotDamaged(snapshot: path, reason: error.reason)
    }
  }

  /// Reads the whole file and compares it with its manifest.
  ///
  /// - Parameters:
  ///   - cancellation: Checked before each piece.
  ///   - body: Receives the bytes of the environment, piece by piece. Only the end shows whether
  ///     they are right.
  @discardableResult
  package static func verify(
    _ path: String, _ cancellation: Cancellation, progress: ProgressReceiver = { _, _ in },
    _ body: (RawSpan) throws(StoreError) -> Void = { (_) throws(StoreError) in }
  ) throws(StoreError) -> SnapshotManifest {
    let reader: FileReader
    do throws(StoreError) { reader = try FileReader(path) } catch {
      if case .inaccessible(path, ENOENT) = error { throw .snapshotNotFound(path) }
      throw error
    }
    let manifest = try manifest(reader, path)
    let digest = StreamingDigest()
    var read = 0
    while read < manifest.environmentBytes {
      try cancellation.check()
      let count = try reader.next(atMost: manifest.environmentBytes - read) {
        (bytes) throws(StoreError) in
        digest.append(bytes)
        try body(bytes)
      }
      if count == 0 { break }
      read += count
      progress(read, manifest.environmentBytes)
    }
    guard read == manifest.environmentBytes, digest.value == manifest.digest else {
      throw .snapshotDamaged(
        snapshot: path,
        reason: "the digest of its contents is \(digest.value), expected "
          + "\(manifest.digest)")
    }
    return manifest
  }
}
