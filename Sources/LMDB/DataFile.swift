import CLMDB
import Glibc

/// LMDB's data file, read and written without LMDB.
///
/// It is read by pread(2), not through LMDB's map: if another process truncates the file in the
/// meantime, reading reports an error instead of raising a signal.
struct DataFile {
  let descriptor: Int32

  func byteCount() throws(LMDBError) -> Int {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw .inputOutput }
    return Int(status.st_size)
  }

  /// Fills the beginning of `buffer` with bytes of the file.
  ///
  /// - Returns: The number of bytes read, fewer than `count` only at the end of the file.
  func read(_ count: Int, at offset: Int, into buffer: PageBuffer) throws(LMDBError) -> Int {
    precondition(count <= buffer.byteCount, "more bytes than the buffer has room for")
    var done = 0
    while done < count {
      // SAFETY: `count` bytes fit the buffer, and `done` of them are filled.
      let step = unsafe pread(descriptor, buffer.bytes + done, count - done, offset + done)
      if step == 0 { break }
      if step < 0 {
        if errno == EINTR { continue }
        throw .inputOutput
      }
      done += step
    }
    return done
  }

  /// Overwrites with zeros every byte of a range that is not zero, up to the file's end.
  ///
  /// Holes stay holes, and blocks that are zero are not written.
  func overwrite(_ range: Range<Int>, _ buffer: PageBuffer, _ zeros: PageBuffer) throws(LMDBError) {
    let end = min(range.upperBound, try byteCount())
    var offset = range.lowerBound
    while offset < end {
      let data = clmdb_seek_data(descriptor, offset)
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
    var done = 0
    while done < count {
      // SAFETY: `count` bytes are in the buffer.
      let step = unsafe pwrite(descriptor, buffer.bytes + done, count - done, offset + done)
      if step < 0 {
        if errno == EINTR { continue }
        throw errno == ENOSPC || errno == EDQUOT ? .diskFull : .inputOutput
      }
      done += step
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
