import SuffixIndex

/// Lists of loci, one after the other in one buffer that is kept from draft to draft.
struct LocusLists {
  private var loci: [Drafter.Locus] = []
  private var ends: [Int] = []

  mutating func removeAll() {
    loci.removeAll(keepingCapacity: true)
    ends.removeAll(keepingCapacity: true)
  }

  /// Adds to the list that is not ended yet.
  mutating func append(_ locus: Drafter.Locus) { loci.append(locus) }

  mutating func endList() { ends.append(loci.count) }

  func range(_ list: Int) -> Range<Int> { (list == 0 ? 0 : ends[list - 1])..<ends[list] }

  func list(_ list: Int) -> ArraySlice<Drafter.Locus> { loci[range(list)] }

  subscript(locus: Int) -> Drafter.Locus { loci[locus] }

  /// Occurrences of the list's pattern in all indexes together.
  func occurrences(_ list: Int) -> Int {
    var sum = 0
    for locus in range(list) { sum += Int(loci[locus].cursor.count) }
    return sum
  }
}
