import CSIMDJSON

/// Writes JSON as bytes into a buffer that is kept from message to message.
///
/// The writer adds commas before every element or member that is not the first. The caller balances
/// braces.
@safe
public struct JSONWriter: ~Copyable {
  // SAFETY: allocated in `init` and `grow`, freed in `deinit`; holds `count` of `capacity` bytes,
  // and every method that writes reserves room first.
  private var base: UnsafeMutablePointer<UInt8>
  /// The number of bytes that the buffer has room for.
  public private(set) var capacity: Int
  /// The number of bytes that were written.
  public private(set) var count = 0
  /// True if the next element or member is the first of its array or object.
  private var isFirst = true
  /// The last probability that was written, and its place. Along a path probabilities are often
  /// equal, and copying a dozen bytes is ten times as fast as formatting them again.
  private var lastFloat: Float = .nan
  private var lastFloatBytes = 0..<0

  public init() {
    capacity = 4096
    unsafe base = .allocate(capacity: capacity)
  }

  deinit { unsafe base.deallocate() }

  /// A copy of the written bytes.
  public var bytes: [UInt8] {
    unsafe Array(UnsafeBufferPointer(start: base, count: count))
  }

  /// Runs `body` with the written bytes.
  public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    unsafe body(UnsafeRawBufferPointer(start: base, count: count))
  }

  /// Discards everything that was written and keeps the buffer.
  public mutating func removeAll() { rollBack(to: Mark(count: 0, isFirst: true)) }

  /// A place in the written bytes, to return to.
  public struct Mark {
    fileprivate let count: Int
    fileprivate let isFirst: Bool
  }

  /// The current end of the written bytes.
  public var mark: Mark { Mark(count: count, isFirst: isFirst) }

  /// Discards the bytes that were written since the mark.
  public mutating func rollBack(to mark: Mark) {
    count = mark.count
    isFirst = mark.isFirst
    lastFloat = .nan
  }

  /// Moves the bytes that were written since the mark to a writer of their own, which goes on where this
  /// one stood.
  public mutating func split(since mark: Mark) -> JSONWriter {
    var other = JSONWriter()
    unsafe withBytes(since: mark) { unsafe other.json(Array($0)) }
    other.isFirst = isFirst
    rollBack(to: mark)
    return other
  }

  /// Runs `body` with the bytes that were written since the mark.
  public func withBytes<Result>(
    since mark: Mark, _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result {
    unsafe body(UnsafeRawBufferPointer(start: base + mark.count, count: count - mark.count))
  }

  /// Discards the bytes but keeps the state: the next bytes continue the same value.
  public mutating func removeBeginning() {
    count = 0
    lastFloat = .nan
  }

  // MARK: Bytes

  @inline(__always)
  private mutating func reserve(_ bytes: Int) {
    if capacity &- count < bytes { grow(bytes) }
  }

  @inline(never)
  private mutating func grow(_ bytes: Int) {
    capacity = max(capacity * 2, count + bytes)
    let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    unsafe larger.initialize(from: base, count: count)
    unsafe base.deallocate()
    unsafe base = larger
  }

  /// Adds a byte for which room is reserved.
  @inline(__always)
  private mutating func put(_ byte: UInt8) {
    unsafe base[count] = byte
    count &+= 1
  }

  private mutating func append(_ bytes: UnsafeBufferPointer<UInt8>) {
    guard let start = bytes.baseAddress else { return }
    reserve(bytes.count)
    unsafe (base + count).update(from: start, count: bytes.count)
    count += bytes.count
  }

  private mutating func append(_ text: StaticString) {
    unsafe append(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  /// Writes a value that is already JSON.
  public mutating func json(_ value: [UInt8]) {
    separate()
    unsafe value.withUnsafeBufferPointer { unsafe append($0) }
  }

  @inline(__always)
  private mutating func separate() {
    reserve(1)
    if !isFirst { put(UInt8(ascii: ",")) }
    isFirst = false
  }

  private mutating func open(_ byte: UInt8) {
    separate()
    reserve(1)
    put(byte)
    isFirst = true
  }

  private mutating func close(_ byte: UInt8) {
    reserve(1)
    put(byte)
    isFirst = false
  }

  public mutating func beginObject() { open(UInt8(ascii: "{")) }
  public mutating func endObject() { close(UInt8(ascii: "}")) }
  public mutating func beginArray() { open(UInt8(ascii: "[")) }
  public mutating func endArray() { close(UInt8(ascii: "]")) }

  /// Ends a message, which is one line.
  public mutating func endLine() {
    reserve(1)
    put(UInt8(ascii: "\n"))
    isFirst = true
  }

  /// Writes the name of a member; the name must need no escaping. The value comes next.
  public mutating func name(_ name: StaticString) {
    separate()
    reserve(name.utf8CodeUnitCount + 3)
    put(UInt8(ascii: "\""))
    append(name)
    put(UInt8(ascii: "\""))
    put(UInt8(ascii: ":"))
    isFirst = true
  }

  /// Writes the name of a member that is known only at run time; its value comes next.
  public mutating func name(of member: String) {
    string(member)
    reserve(1)
    put(UInt8(ascii: ":"))
    isFirst = true
  }

  public mutating func string(_ text: String) {
    separate()
    var text = text
    text.withUTF8 { bytes in
      // Six bytes for each at most, and the quotes.
      reserve(bytes.count * 6 + 2)
      put(UInt8(ascii: "\""))
      for position in bytes.indices { unsafe escape(bytes[position]) }
      put(UInt8(ascii: "\""))
    }
  }

  @inline(__always)
  private mutating func escape(_ byte: UInt8) {
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"):
      put(UInt8(ascii: "\\"))
      put(byte)
    case UInt8(ascii: "\n"): append("\\n" as StaticString)
    case 0..<0x20:
      append("\\u00" as StaticString)
      put(Self.hexDigit(byte >> 4))
      put(Self.hexDigit(byte & 15))
    default: put(byte)
    }
  }

  private static func hexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
  }

  public mutating func bool(_ value: Bool) {
    separate()
    append(value ? "true" : "false" as StaticString)
  }

  public mutating func null() {
    separate()
    append("null" as StaticString)
  }

  public mutating func integer(_ value: some BinaryInteger) {
    separate()
    digits(UInt64(value.magnitude), isNegative: value < 0)
  }

  @inline(__always)
  private mutating func digits(_ magnitude: UInt64, isNegative: Bool) {
    // A sign and twenty digits.
    reserve(21)
    if isNegative { put(UInt8(ascii: "-")) }
    var rest = magnitude
    var length = 1
    var bound: UInt64 = 10
    while length < 20 && rest >= bound {
      length += 1
      bound = length < 20 ? bound &* 10 : .max
    }
    var place = count &+ length &- 1
    while place >= count {
      unsafe base[place] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
      place &-= 1
    }
    count &+= length
  }

  /// Writes the shortest decimal that reads back as the same number.
  ///
  /// - Precondition: The value is finite; JSON has no other numbers.
  public mutating func number(_ value: Double) {
    precondition(value.isFinite, "JSON has no \(value)")
    separate()
    if value == value.rounded() && abs(value) < 1e15 {
      digits(UInt64(abs(value)), isNegative: value < 0)
    } else {
      reserve(Self.numberBytesMax)
      unsafe count += csj_write_double(value, base + count)
    }
  }

  private static let numberBytesMax = Int(csj_number_bytes_max)

  public mutating func number(_ value: Float) {
    precondition(value.isFinite, "JSON has no \(value)")
    separate()
    if value == 1 {
      reserve(1)
      put(UInt8(ascii: "1"))
    } else if value == lastFloat {
      reserve(lastFloatBytes.count)
      unsafe (base + count).update(
        from: base + lastFloatBytes.lowerBound, count: lastFloatBytes.count)
      count += lastFloatBytes.count
    } else {
      let start = count
      reserve(Self.numberBytesMax)
      unsafe count += csj_write_float(value, base + count)
      lastFloat = value
      lastFloatBytes = start..<count
    }
  }

  public mutating func integers(_ values: some Collection<some BinaryInteger>) {
    beginArray()
    for value in values {
      separate()
      digits(UInt64(value.magnitude), isNegative: value < 0)
    }
    endArray()
  }

  public mutating func strings(_ texts: [String]) {
    beginArray()
    for text in texts { string(text) }
    endArray()
  }
}
