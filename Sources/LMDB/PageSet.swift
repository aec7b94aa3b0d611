/// A set of page numbers from 0 up to a bound, one bit each.
struct PageSet {
  private var words: [UInt64]
  /// All numbers are smaller than this.
  let bound: Int
  private(set) var count = 0

  init(bound: Int) {
    self.bound = bound
    words = [UInt64](repeating: 0, count: (bound + 63) / 64)
  }

  func contains(_ page: Int) -> Bool { words[page >> 6] >> UInt64(page & 63) & 1 != 0 }

  /// Adds a page. Returns false if the set held it already.
  mutating func insert(_ page: Int) -> Bool {
    if contains(page) { return false }
    words[page >> 6] |= 1 << UInt64(page & 63)
    count += 1
    return true
  }

  /// Runs of consecutive pages, in rising order.
  ///
  /// - Complexity: O(bound).
  var runs: [Range<Int>] {
    var runs: [Range<Int>] = []
    var start: Int?
    for page in 0..<bound {
      if contains(page) {
        if start == nil { start = page }
      } else if let first = start {
        runs.append(first..<page)
        start = nil
      }
    }
    if let start { runs.append(start..<bound) }
    return runs
  }
}
