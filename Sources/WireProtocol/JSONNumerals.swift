/// Numbers as a JSON text spells them, for what the parser does not keep: numbers that are too large
/// for it, and numbers whose digits matter. Neither is in a line that a client means well.
enum JSONNumerals {
  /// What stands for a number that is too large. No longer than any of them.
  static let tooLarge = 9e307
  private static let tooLargeText = [UInt8]("9e307".utf8)

  /// The text with each number that is too large in place of which `tooLarge` stands, with its sign.
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

  private static func isTooLarge(_ number: ArraySlice<UInt8>) -> Bool {
    let text = String(decoding: number, as: UTF8.self)
    // Malformed numbers, such as 01 and 1., stay as they are.
    guard text.wholeMatch(of: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/) != nil else {
      return false
    }
    let isInteger = !text.contains { $0 == "." || $0 == "e" || $0 == "E" }
    return isInteger
      ? Int64(text) == nil && UInt64(text) == nil : Double(text).map(\.isInfinite) ?? true
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
    // Members of requests stand so deep.
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

  /// Cuts a text into strings, numbers and single other bytes.
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
          // What is escaped ends no string.
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
