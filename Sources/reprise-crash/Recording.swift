import Foundation
import TestSupport

/// A change of a file or a directory, as `CFaults` records it.
struct Change {
  enum Kind: UInt32 {
    case create = 1
    case write, truncate, zero, allocate, sync, rename, unlink, mkdir, rmdir, link, exchange
  }

  var kind: Kind
  var object: Int
  var nanoseconds: UInt64
  var offset: Int
  var length: Int
  /// True if the change was on disk when the call that made it returned.
  var isSynchronous: Bool
  var path: String
  var other: String
  /// The range of the bytes in the recording.
  var data: Range<Int>
}

/// All changes that a service made to its files, in order.
struct Recording {
  let bytes: [UInt8]
  let changes: [Change]

  private static let headBytes = 48

  init(_ file: String) throws {
    bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: file)))
    var changes: [Change] = []
    var place = 0
    while place < bytes.count {
      var head = RecordHead(bytes, place)
      guard let kind = Change.Kind(rawValue: UInt32(head.next(4))) else {
        throw ToolError("\(file) is damaged at byte \(place)")
      }
      let (object, nanoseconds) = (head.next(4), head.next(8))
      let (offset, length, flags) = (head.next(8), head.next(8), head.next(4))
      let (pathBytes, otherBytes, dataBytes) = (head.next(4), head.next(4), head.next(4))
      place += Self.headBytes
      let path = String(decoding: bytes[place..<(place + Int(pathBytes))], as: UTF8.self)
      place += Int(pathBytes)
      let other = String(decoding: bytes[place..<(place + Int(otherBytes))], as: UTF8.self)
      place += Int(otherBytes)
      changes.append(
        Change(
          kind: kind, object: Int(object), nanoseconds: nanoseconds, offset: Int(offset),
          length: Int(length), isSynchronous: flags & 1 != 0, path: path, other: other,
          data: place..<(place + Int(dataBytes))))
      place += Int(dataBytes)
    }
    self.changes = changes
  }
}

/// Reads the numbers of a record's head, which are little-endian.
private struct RecordHead {
  private let bytes: [UInt8]
  private var place: Int

  init(_ bytes: [UInt8], _ place: Int) {
    self.bytes = bytes
    self.place = place
  }

  mutating func next(_ count: Int) -> UInt64 {
    var value: UInt64 = 0
    for byte in bytes[place..<(place + count)].reversed() { value = value << 8 | UInt64(byte) }
    place += count
    return value
  }
}

/// A memory page that `CFaults` shares with these tests.
@safe
final class ControlPage: @unchecked Sendable {
  // @unchecked Sendable: the service writes the first and third number, these tests the second; all
  // are whole words.
  private let page: UnsafeMutablePointer<UInt64>

  init(_ file: String) throws {
    try Data(count: 4096).write(to: URL(fileURLWithPath: file))
    let descriptor = unsafe open(file, O_RDWR | O_CLOEXEC)
    let mapped = unsafe mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    close(descriptor)
    guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
      throw ToolError("\(file) cannot be mapped")
    }
    unsafe page = mapped.assumingMemoryBound(to: UInt64.self)
  }

  deinit { unsafe munmap(page, 4096) }

  /// The number of changes in the recording.
  var recorded: Int { Int(unsafe page[0]) }
  /// The number of calls that were made to fail.
  var failed: Int { Int(unsafe page[2]) }

  var isDisarmed: Bool {
    get { unsafe page[1] != 0 }
    set { unsafe page[1] = newValue ? 1 : 0 }
  }
}
