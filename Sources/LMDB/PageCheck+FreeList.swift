extension PageCheck {
  /// Checks one entry of the tree of free pages: the number of pages that a transaction freed, and
  /// their numbers.
  ///
  /// - Parameter value: The place of the entry's value in the file.
  /// - Returns: The number of the value's bytes that hold data.
  mutating func checkFreeList(
    transaction: UInt64, _ value: Range<Int>, _ damaged: (String) -> LMDBError
  ) throws(LMDBError) -> Int {
    guard transaction >= 1 && transaction <= UInt64(meta.transaction) else {
      throw damaged(
        "free pages of transaction \(transaction), where the last one is \(meta.transaction)")
    }
    guard value.count >= 8 && value.count & 7 == 0 else {
      throw damaged(
        "free pages of transaction \(transaction): \(value.count) bytes are not a list of numbers")
    }
    var (previous, left, listed) = (UInt64.max, 0, 0)
    var offset = value.lowerBound
    while offset < value.upperBound {
      // The buffer and the value both hold whole numbers.
      let count = min(listBuffer.byteCount, value.upperBound - offset)
      guard try file.read(count, at: offset, into: listBuffer) == count else {
        throw damaged("the file ends within the list of free pages")
      }
      var place = 0
      if offset == value.lowerBound {
        let numbers = listBuffer.uint64(at: 0)
        guard numbers < UInt64(value.count / 8) else {
          throw damaged(
            "free pages of transaction \(transaction): \(numbers) in \(value.count) bytes")
        }
        left = Int(numbers)
        listed = 8 * (1 + left)
        place = 8
      }
      while place < count && left > 0 {
        let number = listBuffer.uint64(at: place)
        guard number < previous else {
          throw damaged("free pages of transaction \(transaction): the numbers do not fall")
        }
        guard number >= UInt64(PageFormat.metaPages), number <= UInt64(meta.lastPage) else {
          throw damaged(
            "free pages of transaction \(transaction): expected pages up to \(meta.lastPage), "
              + "found \(number)")
        }
        try pages.addFree(Int(number), freedBy: Int(transaction), damaged)
        previous = number
        place += 8
        left -= 1
      }
      if left == 0 { break }
      offset += count
    }
    return listed
  }
}
