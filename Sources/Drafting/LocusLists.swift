import SuffixIndex

/// A pattern in one of the indexes.
struct Locus: BitwiseCopyable {
  var cursor: MatchCursor
  var index: Int32
}

/// Lists of loci, one after the other in one buffer that is kept from draft to draft.
struct LocusLists {
  private var loci: [Locus] = []
  private var ends: [Int] = []

  mutating func removeAll() {
    loci.removeAll(keepingCapacity: true)
    ends.removeAll(keepingCapacity: true)
  }

  /// How many lists are ended.
  var count: Int { ends.count }

  /// Adds to the list that is not ended yet.
  mutating func append(_ locus: Locus) { loci.append(locus) }

  mutating func endList() { ends.append(loci.count) }

  func range(_ list: Int) -> Range<Int> { (list == 0 ? 0 : ends[list - 1])..<ends[list] }

  subscript(locus: Int) -> Locus { loci[locus] }

  /// Occurrences of the list's pattern in all indexes together.
  func occurrences(_ list: Int) -> Int {
    var sum = 0
    for locus in range(list) { sum += Int(loci[locus].cursor.count) }
    return sum
  }
}
