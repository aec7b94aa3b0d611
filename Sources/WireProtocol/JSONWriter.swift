/// Writes JSON as bytes into a buffer that is kept from message to message.
///
/// Commas are the writer's business: it puts one before an element or a member that is not the
/// first. Balanced braces are the caller's.
public struct JSONWriter {
  public private(set) var bytes: [UInt8] = []
  /// Whether the next element or member is the first of its array or object.
  private var isFirst = true

  public init() {}

  public mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    isFirst = true
  }

  /// A place in what was written, to return to.
  public struct Mark {
    fileprivate let count: Int
    fileprivate let isFirst: Bool
  }

  public var mark: Mark { Mark(count: bytes.count, isFirst: isFirst) }

  /// Forgets what was written since the mark.
  public mutating func rollBack(to mark: Mark) {
    bytes.removeLast(bytes.count - mark.count)
    isFirst = mark.isFirst
  }

  /// Takes out what was written since the mark.
  public mutating func take(since mark: Mark) -> [UInt8] {
    let taken = Array(bytes[mark.count...])
    rollBack(to: mark)
    return taken
  }

  /// Writes a value that is JSON already.
  public mutating func json(_ value: [UInt8]) {
    separate()
    bytes.append(contentsOf: value)
  }

  private mutating func separate() {
    if !isFirst { bytes.append(UInt8(ascii: ",")) }
    isFirst = false
  }

  private mutating func open(_ byte: UInt8) {
    separate()
    bytes.append(byte)
    isFirst = true
  }

  private mutating func close(_ byte: UInt8) {
    bytes.append(byte)
    isFirst = false
  }

  public mutating func beginObject() { open(UInt8(ascii: "{")) }
  public mutating func endObject() { close(UInt8(ascii: "}")) }
  public mutating func beginArray() { open(UInt8(ascii: "[")) }
  public mutating func endArray() { close(UInt8(ascii: "]")) }

  /// Ends a message: one line each.
  public mutating func endLine() {
    bytes.append(UInt8(ascii: "\n"))
    isFirst = true
  }

  /// Writes the name of a member; its value comes next.
  public mutating func name(_ name: String) {
    string(name)
    bytes.append(UInt8(ascii: ":"))
    isFirst = true
  }

  public mutating func string(_ text: String) {
    separate()
    bytes.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(byte)
      case UInt8(ascii: "\n"): bytes.append(contentsOf: "\\n".utf8)
      case 0..<0x20:
        bytes.append(contentsOf: "\\u00".utf8)
        bytes.append(Self.hexDigits[Int(byte >> 4)])
        bytes.append(Self.hexDigits[Int(byte & 15)])
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }

  private static let hexDigits = [UInt8]("0123456789abcdef".utf8)

  public mutating func bool(_ value: Bool) {
    separate()
    bytes.append(contentsOf: (value ? "true" : "false").utf8)
  }

  public mutating func null() {
    separate()
    bytes.append(contentsOf: "null".utf8)
  }

  public mutating func integer(_ value: some FixedWidthInteger) {
    separate()
    digits(value)
  }

  private mutating func digits(_ value: some FixedWidthInteger) {
    var rest = UInt64(value.magnitude)
    if value < 0 { bytes.append(UInt8(ascii: "-")) }
    let start = bytes.count
    repeat {
      bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
      rest /= 10
    } while rest > 0
    var (low, high) = (start, bytes.count - 1)
    while low < high {
      bytes.swapAt(low, high)
      low += 1
      high -= 1
    }
  }

  /// The shortest decimal that reads back as the same number.
  ///
  /// - Precondition: finite; JSON knows no other.
  public mutating func number(_ value: Double) {
    precondition(value.isFinite, "JSON has no \(value)")
    separate()
    if value == value.rounded() && abs(value) < 1e15 {
      digits(Int64(value))
    } else {
      bytes.append(contentsOf: value.description.utf8)
    }
  }

  public mutating func number(_ value: Float) {
    precondition(value.isFinite, "JSON has no \(value)")
    separate()
    if value == 1 {
      bytes.append(UInt8(ascii: "1"))
    } else {
      bytes.append(contentsOf: value.description.utf8)
    }
  }

  public mutating func integers(_ values: some Sequence<some FixedWidthInteger>) {
    beginArray()
    for value in values { integer(value) }
    endArray()
  }
}
