import CSIMDJSON

/// Parses JSON texts one after the other, and keeps its buffers between them.
@safe
final class JSONDocument {
  // SAFETY: made in `init`, destroyed in `deinit`, used by one caller at a time.
  private let parser: OpaquePointer

  /// Creates a parser.
  ///
  /// - Parameters:
  ///   - bytesMax: The length of the longest text that is parsed, in bytes.
  ///   - depthMax: The depth of the deepest nesting that is parsed.
  init(bytesMax: Int, depthMax: Int) {
    guard let parser = unsafe csj_parser_create(bytesMax, depthMax) else {
      fatalError("no memory for a JSON parser")
    }
    unsafe self.parser = parser
  }

  deinit { unsafe csj_parser_destroy(parser) }

  struct SyntaxError: Error {
    /// The parser's message, beginning in lower case and without a full stop.
    let reason: String
  }

  /// Parses a text. Values of the text that was parsed before become invalid.
  ///
  /// JSON allows numbers that fit neither 64 bits nor a `Double`. The parser refuses them; such a
  /// number is read as `JSONNumerals.tooLarge`, which no member accepts, so that the error can name
  /// its place.
  func parse(_ text: RawSpan) throws(SyntaxError) -> JSONValue {
    var root = unsafe csj_value()
    var error = unsafe parse(text, &root)
    if csj_is_number_error(error) {
      // Any other error is refused again.
      let clamped = JSONNumerals.clamped(text)
      error = unsafe parse(clamped.span.bytes, &root)
    }
    guard error == 0 else {
      let message = unsafe String(cString: csj_error_message(error))
      throw SyntaxError(reason: message.split(separator: ":").last.map(Self.plain) ?? message)
    }
    return unsafe JSONValue(reference: root)
  }

  private func parse(_ text: RawSpan, _ root: inout csj_value) -> Int32 {
    // SAFETY: simdjson copies the bytes before it reads them.
    unsafe text.withUnsafeBytes { bytes in
      unsafe csj_parse(
        parser, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, &root)
    }
  }

  private static func plain(_ message: Substring) -> String {
    let text = message.drop { $0 == " " }
    let end = text.last == "." ? text.dropLast() : text
    return (end.first?.lowercased() ?? "") + end.dropFirst()
  }
}

/// A value in a parsed text; valid until the text's parser parses another one.
@safe
struct JSONValue {
  // SAFETY: made by a document's `parse` or from another value of it; callers keep values no longer
  // than the call that parsed them.
  fileprivate let reference: csj_value

  enum Kind {
    case null, bool, integer, number, string, array, object
  }

  var kind: Kind {
    switch unsafe csj_value_kind(reference) {
    case csj_null: .null
    case csj_bool: .bool
    case csj_integer: .integer
    case csj_number: .number
    case csj_string: .string
    case csj_array: .array
    default: .object
    }
  }

  /// Each of these properties asks for a value of its kind, and gives a zero of that kind for any
  /// other.
  var bool: Bool { unsafe csj_value_bool(reference) }
  var integer: Int64 { unsafe csj_value_integer(reference) }
  var double: Double { unsafe csj_value_double(reference) }

  /// The text of a string; simdjson has verified that it is UTF-8.
  var string: String {
    var count = 0
    guard kind == .string, let bytes = unsafe csj_value_string(reference, &count) else { return "" }
    return unsafe Self.text(bytes, count)
  }

  /// The length of a string in bytes of UTF-8.
  var stringBytes: Int {
    var count = 0
    _ = unsafe csj_value_string(reference, &count)
    return count
  }

  /// The number of elements of an array or members of an object.
  var count: Int { unsafe csj_value_count(reference) }

  // SAFETY: simdjson gives the pointer together with the count.
  private static func text(_ bytes: UnsafePointer<CChar>, _ count: Int) -> String {
    unsafe String(
      decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self)
  }

  /// Calls `body` with each element of an array.
  func forEachElement<Failure: Error>(
    _ body: (_ position: Int, JSONValue) throws(Failure) -> Void
  ) throws(Failure) {
    guard kind == .array else { return }
    var position = unsafe csj_array_begin(reference)
    var element = unsafe csj_value()
    var index = 0
    while unsafe csj_array_next(reference, &position, &element) {
      try body(index, unsafe JSONValue(reference: element))
      index += 1
    }
  }

  /// Calls `body` with each member of an object.
  func forEachMember<Failure: Error>(
    _ body: (_ name: String, JSONValue) throws(Failure) -> Void
  ) throws(Failure) {
    guard kind == .object else { return }
    var position = unsafe csj_object_begin(reference)
    var name: UnsafePointer<CChar>?
    var nameCount = 0
    var value = unsafe csj_value()
    while unsafe csj_object_next(reference, &position, &name, &nameCount, &value) {
      guard let bytes = unsafe name else { return }
      try unsafe body(Self.text(bytes, nameCount), JSONValue(reference: value))
    }
  }

  /// Appends the elements of an array of token ids. Returns the number of elements appended: fewer
  /// than `count` means that the next one is not an integer in 0 ..< 2^31 − 1.
  func appendTokens(to tokens: inout [Int32]) -> Int {
    unsafe append(to: &tokens, zero: 0) { unsafe csj_array_copy_tokens(reference, $0, $1) }
  }

  /// Appends the elements of an array of integers; returns the number appended, as above.
  func appendIntegers(to integers: inout [Int32]) -> Int {
    unsafe append(to: &integers, zero: 0) { unsafe csj_array_copy_int32(reference, $0, $1) }
  }

  /// Appends the elements of an array of integers; returns the number appended, as above.
  func appendIntegers(to integers: inout [Int]) -> Int {
    unsafe append(to: &integers, zero: 0) { base, count in
      unsafe base.withMemoryRebound(to: Int64.self, capacity: count) {
        unsafe csj_array_copy_int64(reference, $0, count)
      }
    }
  }

  /// Appends the elements of an array of numbers; returns the number appended, as above.
  func appendNumbers(to numbers: inout [Float]) -> Int {
    unsafe append(to: &numbers, zero: 0) { unsafe csj_array_copy_float(reference, $0, $1) }
  }

  private func append<Element>(
    to elements: inout [Element], zero: Element,
    _ copy: (UnsafeMutablePointer<Element>, Int) -> Int
  ) -> Int {
    let count = count
    let start = elements.count
    elements.append(contentsOf: repeatElement(zero, count: count))
    // SAFETY: the buffer has room for `count` elements behind `start`.
    let copied = unsafe elements.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return 0 }
      return unsafe copy(base + start, count)
    }
    elements.removeLast(count - copied)
    return copied
  }
}
