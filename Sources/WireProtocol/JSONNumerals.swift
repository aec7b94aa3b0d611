/// The spelling of numbers in a JSON text, for cases that the parser does not handle: numbers that
/// are too large for it, and ids that are numbers but not integers of 64 bits. Lines of ordinary
/// clients contain neither.
enum JSONNumerals {
  /// The stand-in for a number that is too large. It is no longer than any such number.
  static let tooLarge = 9e307
  private static let tooLargeText = [UInt8]("9e307".utf8)

  /// The text with `tooLarge`, and its sign, in place of each number that is too large.
  ///
  /// - Complexity: O(bytes).
  static func clamped(_ text: RawSpan) -> [UInt8] {
    let bytes = unsafe text.withUnsafeBytes { unsafe Array($0) }
    var clamped: [UInt8] = []
    clamped.reserveCapacity(bytes.count)
    var scanner = Scanner(bytes)
    while let token = scanner.next() {
      if token.isNumber && isTooLarge(bytes[token.range]) {
        if bytes[token.range.lowerBound] == UInt8(ascii: "-") { clamped.append(UInt8(ascii: "-")) }
        clamped += tooLargeText
      } else {
        clamped += bytes[token.range]
      }
    }
    return clamped
  }

  /// True if a number is well formed and larger than the parser reads. (Written by hand, because a
  /// hostile line is full of numbers and is examined on an event loop.)
  private static func isTooLarge(_ number: ArraySlice<UInt8>) -> Bool {
    var rest = number
    func takeDigits() -> Int {
      let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }.count
      rest = rest.dropFirst(digits)
      return digits
    }
    if rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
    let beginsWithZero = rest.first == UInt8(ascii: "0")
    let digits = takeDigits()
    // Malformed numbers, such as 01 and 1., stay unchanged.
    if digits == 0 || (beginsWithZero && digits > 1) { return false }
    let isInteger = rest.isEmpty
    if rest.first == UInt8(ascii: ".") {
      rest = rest.dropFirst()
      if takeDigits() == 0 { return false }
    }
    if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
      rest = rest.dropFirst()
      if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") {
        rest = rest.dropFirst()
      }
      if takeDigits() == 0 { return false }
    }
    if !rest.isEmpty { return false }
    // Any integer of 18 digits fits, and none of 21 digits does.
    if isInteger && digits <= 18 { return false }
    if isInteger && digits > 20 { return true }
    let text = String(decoding: number, as: UTF8.self)
    if isInteger { return Int64(text) == nil && UInt64(text) == nil }
    return Double(text).map(\.isInfinite) ?? true
  }

  /// The text of each number that is the value of a member `id` of a request, by the request's place in
  /// the line.
  ///
  /// - Parameter text: A line that is JSON.
  /// - Complexity: O(bytes).
  static func ids(in text: RawSpan) -> [Int: String] {
    let bytes = unsafe text.withUnsafeBytes { unsafe Array($0) }
    var ids: [Int: String] = [:]
    var scanner = Scanner(bytes)
    var (depth, place) = (0, 0)
    // The depth at which members of requests stand.
    var requestDepth = 1
    var (lastString, isID) = (0..<0, false)
    while let token = scanner.next() {
      switch bytes[token.range.lowerBound] {
      case UInt8(ascii: "["), UInt8(ascii: "{"):
        if depth == 0 && bytes[token.range.lowerBound] == UInt8(ascii: "[") { requestDepth = 2 }
        depth += 1
        isID = false
      case UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
      case UInt8(ascii: "\""): lastString = token.range
      case UInt8(ascii: ":"):
        isID = depth == requestDepth && bytes[lastString].elementsEqual("\"id\"".utf8)
      case UInt8(ascii: ","):
        isID = false
        if depth == requestDepth - 1 { place += 1 }
      default:
        if isID && token.isNumber && ids[place] == nil {
          ids[place] = String(decoding: bytes[token.range], as: UTF8.self)
        }
      }
    }
    return ids
  }

  /// Splits a text into strings, numbers and other single bytes.
  private struct Scanner {
    struct Token {
      var range: Range<Int>
      var isNumber = false
    }

    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func next() -> Token? {
      if position == bytes.count { return nil }
      let start = position
      position += 1
      switch bytes[start] {
      case UInt8(ascii: "\""):
        while position < bytes.count && bytes[position] != UInt8(ascii: "\"") {
          // An escaped character does not end a string.
          position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
        }
        position = min(position + 1, bytes.count)
        return Token(range: start..<position)
      case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
        while position < bytes.count, Self.isOfNumber(bytes[position]) { position += 1 }
        return Token(range: start..<position, isNumber: true)
      default: return Token(range: start..<position)
      }
    }

    private static func isOfNumber(_ byte: UInt8) -> Bool {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"),
        UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"):
        true
      default: false
      }
    }
  }
}
