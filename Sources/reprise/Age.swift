/// A length of time as people write it: 90, 90s, 15m, 36h, 30d.
enum Age {
  private static let units: [(name: Character, seconds: Int)] = [
    ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1),
  ]

  /// Returns nil if the text is not an age, or is too long to be counted.
  static func seconds(_ text: String) -> Int? {
    let unit = units.first { $0.name == text.last }
    let digits = unit == nil ? text[...] : text.dropLast()
    // Int would also accept a sign.
    guard digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
      let count = Int(digits)
    else { return nil }
    let (seconds, overflow) = count.multipliedReportingOverflow(by: unit?.seconds ?? 1)
    return overflow ? nil : seconds
  }

  /// The age in the largest unit of which it is a whole number.
  static func text(seconds: Int) -> String {
    let unit = units.first { seconds % $0.seconds == 0 } ?? ("s", 1)
    return "\(seconds / unit.seconds)\(unit.name)"
  }
}
