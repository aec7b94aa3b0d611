/// Collects the bytes of a file that hold no live data, while its pages are checked.
struct UnusedBytes {
  /// The oldest transaction that is being read.
  let oldestRead: Int
  /// Whole pages that no transaction can see.
  private(set) var pages: PageSet
  /// Parts of pages that are in use, as offsets in the file.
  private(set) var gaps: [Range<Int>] = []
  /// The number of pages that an old read transaction can see.
  private(set) var pinnedPages = 0

  init(oldestRead: Int, pagesBound: Int) {
    self.oldestRead = oldestRead
    pages = PageSet(bound: pagesBound)
  }

  mutating func add(_ range: Range<Int>, of page: TreePage) {
    if page.buffer.isZero(range) { return }
    let start = page.number * page.buffer.byteCount
    gaps.append((start + range.lowerBound)..<(start + range.upperBound))
  }

  mutating func add(_ range: Range<Int>) {
    if !range.isEmpty { gaps.append(range) }
  }

  /// Adds a page that transaction `freedBy` was the first not to use.
  mutating func addFree(_ page: Int, freedBy: Int) {
    if freedBy > oldestRead {
      pinnedPages += 1
    } else if page < pages.bound {
      _ = pages.insert(page)
    }
  }

  /// Adds pages that are neither used nor free. The last transaction that used them is unknown, so
  /// they count as visible while any transaction but the last one is being read.
  mutating func addLeaked(used: PageSet, free: PageSet, lastTransaction: Int) {
    for page in PageFormat.metaPages..<max(PageFormat.metaPages, pages.bound)
    where !used.contains(page) && !free.contains(page) {
      addFree(page, freedBy: lastTransaction)
    }
  }
}
