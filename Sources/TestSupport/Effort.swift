import Foundation

/// The extent of randomised tests, and the beginning of their seeds. Two environment variables set
/// it:
///
/// - `REPRISE_TEST_EFFORT`: `quick` (the default) runs a tenth of each series, `full` all of it; a
///   number, such as `0.5` or `20`, multiplies the full length. Below a tenth, as under thread
///   sanitizer, two cases of a series are enough.
/// - `REPRISE_TEST_SEED`: a number from 0 to 999,999,999,999. The default is the day in UTC, such as
///   20261130, so that each day draws new cases and ten quick days cover what one full run does.
///
/// Cases of a series are numbered from the seed times a million, so that a failure that names the
/// case `20261130000042` is run again with `REPRISE_TEST_SEED=20261130`.
package enum Effort {
  /// The fraction of its full length that each series runs.
  package static let factor: Double = {
    switch ProcessInfo.processInfo.environment["REPRISE_TEST_EFFORT"] ?? "quick" {
    case "", "quick": return 0.1
    case "full": return 1
    case let text:
      guard let factor = Double(text), factor > 0, factor <= 10_000 else {
        fatalError(
          "REPRISE_TEST_EFFORT is \"\(text)\", expected quick, full or a number up to 10000")
      }
      return factor
    }
  }()

  /// The number from which all random cases are drawn.
  package static let seed: UInt64 = {
    guard let text = ProcessInfo.processInfo.environment["REPRISE_TEST_SEED"], !text.isEmpty else {
      let parts = Calendar.utc.dateComponents([.year, .month, .day], from: Date())
      return UInt64((parts.year ?? 0) * 10_000 + (parts.month ?? 0) * 100 + (parts.day ?? 0))
    }
    guard let seed = UInt64(text), seed < 1_000_000_000_000 else {
      fatalError("REPRISE_TEST_SEED is \"\(text)\", expected a number below 1000000000000")
    }
    return seed
  }()

  /// True if series have their full length or more: tests of every single bit run only then.
  package static var isFull: Bool { factor >= 1 }

  /// The number of cases to run of a series.
  ///
  /// - Parameters:
  ///   - full: The number of a full run.
  ///   - least: The smallest number with which the test is useful in a quick run; `full` if that is
  ///     lower.
  package static func count(_ full: Int, atLeast least: Int = 8) -> Int {
    max(min(full, factor < 0.1 ? 2 : least), Int(Double(full) * factor))
  }

  /// The seeds of the cases of a series, `count(full, atLeast: least)` of them.
  package static func seeds(_ full: Int, atLeast least: Int = 8) -> Range<UInt64> {
    let first = seed * 1_000_000
    return first..<(first + UInt64(count(full, atLeast: least)))
  }
}

extension Calendar {
  fileprivate static var utc: Calendar {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = .gmt
    return calendar
  }
}
