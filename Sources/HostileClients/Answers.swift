import Glibc

/// The received answers, counted but not kept.
struct Answers {
  private(set) var count = 0
  private(set) var results = 0
  private(set) var errors: Set<String> = []
  /// The length of the longest error.
  private var errorBytes = 0
  var isClosed = false

  /// The bound of the length of any error.
  private static let errorBytesMax = 1000

  mutating func add(_ line: ArraySlice<UInt8>) {
    count += 1
    let kinds = Self.kinds(in: line)
    if kinds.isEmpty { results += 1 }
    errors.formUnion(kinds)
    // Errors among drafts have no line of their own.
    if !kinds.isEmpty && !String(decoding: line.prefix(64), as: UTF8.self).contains("result") {
      errorBytes = max(errorBytes, line.count / kinds.count)
    }
  }

  /// The kind of each error in a line, with the limit that it is about.
  private static func kinds(in line: ArraySlice<UInt8>) -> [String] {
    var kinds: [String] = []
    var rest = line
    while let kind = takeValue("kind\":\"", from: &rest) {
      var data = rest.prefix { $0 != UInt8(ascii: "}") }
      let limit = kind == "limit_exceeded" ? takeValue("limit\":\"", from: &data) : nil
      kinds.append(limit.map(Outcome.limitExceeded) ?? kind)
    }
    return kinds
  }

  /// Finds a member and returns its text up to the next quote; nil if there is no such member. `rest`
  /// begins with the text afterwards.
  private static func takeValue(_ name: StaticString, from rest: inout ArraySlice<UInt8>) -> String?
  {
    let found = unsafe rest.withUnsafeBytes { bytes -> Int? in
      guard let base = bytes.baseAddress else { return nil }
      var searched = 0
      // SAFETY: searches and compares within the bytes.
      while bytes.count - searched >= name.utf8CodeUnitCount,
        let first = unsafe memchr(
          base + searched, Int32(name.utf8Start.pointee), bytes.count - searched)
      {
        searched = unsafe UnsafeRawPointer(first) - base
        if bytes.count - searched < name.utf8CodeUnitCount { return nil }
        if unsafe memcmp(first, name.utf8Start, name.utf8CodeUnitCount) == 0 { return searched }
        searched += 1
      }
      return nil
    }
    guard let found else { return nil }
    rest = rest.dropFirst(found + name.utf8CodeUnitCount)
    return String(decoding: rest.prefix { $0 != UInt8(ascii: "\"") }, as: UTF8.self)
  }

  var outcome: Outcome {
    if errorBytes > Self.errorBytesMax { return .other("an error of \(errorBytes) bytes") }
    if let error = errors.first, errors.count == 1, results == 0 {
      return isClosed ? .answeredAndClosed(error) : .answered(error)
    }
    if errors.isEmpty && results > 0 && !isClosed { return .served }
    if errors.isEmpty && results == 0 { return isClosed ? .closed : .gone }
    return .other("\(results) results, \(errors.sorted())\(isClosed ? ", closed" : "")")
  }
}
