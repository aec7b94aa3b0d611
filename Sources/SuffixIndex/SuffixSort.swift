/// Sorts the suffixes of a text by their first `depth` tokens, never looking past a separator.
///
/// A radix sort by first token, then multikey quicksort (Bentley and Sedgewick, "Fast algorithms
/// for sorting and searching strings", 1997): a group whose members agree so far is split by the
/// next token into smaller, equal and larger. Each token of each suffix is looked at a constant
/// number of times on average, and none beyond `depth`, so the time is O(n · depth + n log n) for
/// any text: a text of one token a million times costs `depth` passes over the group of equals,
/// which read memory in order. Suffixes that agree in all compared tokens stay in an order that
/// depends on the text alone.
///
/// Prefix doubling and induced sorting need the inverse permutation and two to four times the
/// memory; at a depth of 64 on real output they were no faster than comparing directly.
@safe
struct SuffixSort {
  // SAFETY: both buffers belong to the caller of `sort(text:suffixes:depth:)` for its duration.
  private let text: UnsafePointer<Int32>
  private let suffixes: UnsafeMutablePointer<UInt32>
  private let depth: Int
  private var seed: UInt64 = 0x9E37_79B9_7F4A_7C15

  /// Groups of up to this many suffixes are sorted by insertion.
  private static let insertionMax = 12

  /// For fewer tokens than this, clearing the radix sort's counters would cost more than it saves.
  private static let radixTokensMin = 1 << 14

  private struct Group {
    var low: Int
    var high: Int
    /// Tokens in which all members are known to agree; none of them is a separator.
    var agreed: Int
  }

  /// Fills `suffixes` with the positions of all tokens of `text` that are not separators, sorted.
  ///
  /// - Parameters:
  ///   - text: Tokens (not negative) and separators; the last one is a separator, or the text is
  ///     empty.
  ///   - suffixes: As long as `text` has tokens that are not separators.
  static func sort(
    text: [Int32], suffixes: inout [UInt32], depth: Int, _ meter: inout WorkMeter
  ) throws(SealedIndexBuilder.Cancelled) {
    precondition(text.last.map { $0 < 0 } ?? true, "a text ends with a separator")
    let isSmall = suffixes.count < radixTokensMin
    let groups =
      isSmall
      ? listPositions(text: text, suffixes: &suffixes)
      : try radixSort(text: text, suffixes: &suffixes, meter)
    let agreed = isSmall ? 0 : 1
    try unsafe text.withUnsafeBufferPointer { text throws(SealedIndexBuilder.Cancelled) in
      try unsafe suffixes.withUnsafeMutableBufferPointer {
        suffixes throws(SealedIndexBuilder.Cancelled) in
        guard let textBase = text.baseAddress, let base = suffixes.baseAddress else {
          return
        }
        var sorter = unsafe SuffixSort(text: textBase, suffixes: base, depth: depth)
        var low = 0
        for high in groups {
          try sorter.sort(Group(low: low, high: high, agreed: agreed), &meter)
          low = high
        }
      }
    }
  }

  private init(
    text: UnsafePointer<Int32>, suffixes: UnsafeMutablePointer<UInt32>, depth: Int
  ) {
    unsafe self.text = text
    unsafe self.suffixes = suffixes
    self.depth = depth
  }

  /// Fills in the positions in rising order, as one group without known common tokens.
  private static func listPositions(text: [Int32], suffixes: inout [UInt32]) -> [Int] {
    var rank = 0
    for position in text.indices where text[position] >= 0 {
      suffixes[rank] = UInt32(position)
      rank += 1
    }
    return [rank]
  }

  /// Sorts positions by first token, in two passes over 16-bit digits. Returns the ends of the
  /// groups of more than one suffix with the same first token, together with the ends of the runs
  /// between them.
  private static func radixSort(
    text: [Int32], suffixes: inout [UInt32], _ meter: borrowing WorkMeter
  ) throws(SealedIndexBuilder.Cancelled) -> [Int] {
    var low = [Int](repeating: 0, count: 1 << 16)
    var high = [Int](repeating: 0, count: 1 << 15)
    for batch in Batches(text.indices) {
      try meter.check()
      for position in batch where text[position] >= 0 {
        low[Int(text[position]) & 0xFFFF] += 1
        high[Int(text[position]) >> 16] += 1
      }
    }
    func startsFromCounts(_ counts: inout [Int]) {
      var start = 0
      for digit in counts.indices {
        let count = counts[digit]
        counts[digit] = start
        start += count
      }
    }
    startsFromCounts(&low)
    startsFromCounts(&high)
    var byLow: [UInt32] = try meter.zeros(suffixes.count)
    for batch in Batches(text.indices) {
      try meter.check()
      for position in batch where text[position] >= 0 {
        let digit = Int(text[position]) & 0xFFFF
        byLow[low[digit]] = UInt32(position)
        low[digit] += 1
      }
    }
    for batch in Batches(byLow.indices) {
      try meter.check()
      for place in batch {
        let digit = Int(text[Int(byLow[place])]) >> 16
        suffixes[high[digit]] = byLow[place]
        high[digit] += 1
      }
    }
    var ends: [Int] = []
    for batch in Batches(suffixes.indices) {
      try meter.check()
      for rank in batch
      where rank + 1 == suffixes.count
        || text[Int(suffixes[rank])] != text[Int(suffixes[rank + 1])]
      {
        ends.append(rank + 1)
      }
    }
    return ends
  }

  // SAFETY: ranks stay within the group that `sort` was given, a suffix's position plus the tokens
  // agreed is at most that of its separator, and the text ends with one.
  @inline(__always)
  private func token(_ rank: Int, _ offset: Int) -> Int32 {
    unsafe text[Int(truncatingIfNeeded: suffixes[rank]) &+ offset]
  }

  @inline(__always)
  private func exchange(_ rank: Int, _ other: Int) {
    let suffix = unsafe suffixes[rank]
    unsafe suffixes[rank] = suffixes[other]
    unsafe suffixes[other] = suffix
  }

  private mutating func sort(
    _ group: Group, _ meter: inout WorkMeter
  ) throws(SealedIndexBuilder.Cancelled) {
    var groups = [group]
    while let group = groups.popLast() {
      let (low, high, agreed) = (group.low, group.high, group.agreed)
      if high - low < 2 || agreed >= depth { continue }
      if high - low <= Self.insertionMax {
        try meter.spend(4 * (high - low))
        insertionSort(group)
        continue
      }
      let pivot = pivot(of: group)
      // Smaller | equal | not looked at | larger
      var (equal, next, larger) = (low, low, high)
      while next < larger {
        // Each step moves one suffix from between `next` and `larger`.
        let steps = min(larger - next, WorkMeter.batchUnits)
        try meter.spend(steps)
        for _ in 0..<steps {
          let token = token(next, agreed)
          if token == pivot {
            next += 1
          } else if token < pivot {
            exchange(equal, next)
            equal += 1
            next += 1
          } else {
            larger -= 1
            exchange(next, larger)
          }
        }
      }
      groups.append(Group(low: low, high: equal, agreed: agreed))
      groups.append(Group(low: larger, high: high, agreed: agreed))
      if pivot >= 0 { groups.append(Group(low: equal, high: larger, agreed: agreed + 1)) }
    }
  }

  /// The median of three tokens at pseudo-random ranks. The author of a text that defeats it would
  /// have to know the ranks of the text's own suffixes. The same text sorts the same way every time.
  private mutating func pivot(of group: Group) -> Int32 {
    let (a, b, c) = (drawToken(from: group), drawToken(from: group), drawToken(from: group))
    return max(min(a, b), min(max(a, b), c))
  }

  private mutating func drawToken(from group: Group) -> Int32 {
    seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    let width = UInt64(group.high - group.low)
    return token(group.low + Int(((seed >> 32) &* width) >> 32), group.agreed)
  }

  private func insertionSort(_ group: Group) {
    for rank in (group.low + 1)..<group.high {
      var place = rank
      while place > group.low && precedes(place, place - 1, from: group.agreed) {
        exchange(place, place - 1)
        place -= 1
      }
    }
  }

  private func precedes(_ rank: Int, _ other: Int, from agreed: Int) -> Bool {
    for offset in agreed..<depth {
      let (token, otherToken) = (token(rank, offset), token(other, offset))
      if token != otherToken { return token < otherToken }
      if token < 0 { return false }
    }
    return false
  }
}
