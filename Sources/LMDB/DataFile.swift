import CLMDB
import Files
import Glibc
import SystemPackage

/// LMDB's data file, read and written without LMDB.
///
/// It is read by pread(2), not through LMDB's map: if another process truncates the file in the
/// meantime, reading reports an error instead of raising a signal.
struct DataFile {
  let descriptor: FileDescriptor

  func byteCount() throws(LMDBError) -> Int {
    do { return Int(try descriptor.stat().size) } catch { throw .inputOutput }
  }

  /// Fills the beginning of `buffer` with bytes of the file.
  ///
  /// - Returns: The number of bytes read, fewer than `count` only at the end of the file.
  func read(_ count: Int, at offset: Int, into buffer: PageBuffer) throws(LMDBError) -> Int {
    precondition(count <= buffer.byteCount, "more bytes than the buffer has room for")
    // SAFETY: `count` bytes fit the buffer.
    let bytes = unsafe UnsafeMutableRawBufferPointer(start: buffer.bytes, count: count)
    do { return try unsafe descriptor.read(at: offset, into: bytes) } catch { throw .inputOutput }
  }

  /// Overwrites with zeros every byte of a range that is not zero, up to the file's end.
  ///
  /// Holes stay holes, and blocks that are zero are not written.
  func overwrite(_ range: Range<Int>, _ buffer: PageBuffer, _ zeros: PageBuffer) throws(LMDBError) {
    let end = min(range.upperBound, try byteCount())
    var offset = range.lowerBound
    while offset < end {
      let data = clmdb_seek_data(descriptor.rawValue, offset)
      if data < 0 && errno == ENXIO { return }
      // Where the file system does not report holes, everything is data.
      if data > offset { offset = min(data, end) }
      // Up to the next multiple of the buffer's size, so that blocks stay aligned to pages.
      let count = min(buffer.byteCount - offset % buffer.byteCount, end - offset)
      if count <= 0 { return }
      let found = try read(count, at: offset, into: buffer)
      if found == 0 { return }
      if !buffer.isZero(0..<found) { try write(zeros, found, at: offset) }
      offset += found
    }
  }

  private func write(_ buffer: PageBuffer, _ count: Int, at offset: Int) throws(LMDBError) {
    precondition(count <= buffer.byteCount, "more bytes than the buffer has")
    // SAFETY: `count` bytes are in the buffer.
    let bytes = unsafe UnsafeRawBufferPointer(start: buffer.bytes, count: count)
    do {
      try unsafe descriptor.write(bytes, at: offset)
    } catch {
      throw error == .noSpace || error == .diskQuotaExceeded ? .diskFull : .inputOutput
    }
  }
}

/// The bytes of a page or of a run of pages, initially zero. Every access is checked.
@safe
final class PageBuffer {
  fileprivate let bytes: UnsafeMutableRawPointer
  let byteCount: Int

  init(byteCount: Int) {
    self.byteCount = byteCount
    unsafe bytes = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 4096)
    unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
  }

  deinit { unsafe bytes.deallocate() }

  private func load<Number: FixedWidthInteger & BitwiseCopyable>(
    _ offset: Int, as type: Number.Type
  ) -> Number {
    precondition(
      offset >= 0 && offset <= byteCount - MemoryLayout<Number>.size, "outside of the buffer")
    // SAFETY: in bounds, and any bytes are a valid integer.
    return Number(littleEndian: unsafe bytes.loadUnaligned(fromByteOffset: offset, as: type))
  }

  func uint16(at offset: Int) -> Int { Int(load(offset, as: UInt16.self)) }
  func uint32(at offset: Int) -> Int { Int(load(offset, as: UInt32.self)) }
  func uint64(at offset: Int) -> UInt64 { load(offset, as: UInt64.self) }

  private func check(_ range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "outside of the buffer")
  }

  func isZero(_ range: Range<Int>) -> Bool {
    check(range)
    guard let first = range.first else { return true }
    // SAFETY: in bounds. All bytes are zero if the first is and each equals the next.
    return unsafe bytes.load(fromByteOffset: first, as: UInt8.self) == 0
      && memcmp(bytes + first, bytes + first + 1, range.count - 1) == 0
  }

  func array(_ range: Range<Int>) -> [UInt8] {
    check(range)
    // SAFETY: in bounds.
    return unsafe [UInt8](
      UnsafeRawBufferPointer(start: bytes + range.lowerBound, count: range.count))
  }

  /// Compares the bytes of a range with those of another buffer's range. The result is negative,
  /// zero or positive, as from memcmp(3).
  func compare(_ range: Range<Int>, _ other: PageBuffer, _ otherRange: Range<Int>) -> Int {
    check(range)
    other.check(otherRange)
    // SAFETY: both are in bounds.
    let order = unsafe memcmp(
      bytes + range.lowerBound, other.bytes + otherRange.lowerBound,
      min(range.count, otherRange.count))
    return order != 0 ? Int(order) : range.count - otherRange.count
  }
}
