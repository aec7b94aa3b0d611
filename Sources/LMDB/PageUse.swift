/// The use of each page of a file, as a check finds it. No page has two uses.
struct PageUse {
  /// Pages of the trees and of large values.
  private(set) var used: PageSet
  /// Pages in the list of free pages.
  private(set) var free: PageSet
  /// The bytes that may be overwritten; nil if they are not collected.
  var unused: UnusedBytes?

  /// - Parameters:
  ///   - filePages: Whole pages in the file, which may end before the last page.
  ///   - oldestRead: The oldest transaction that is being read, if unused bytes are to be collected.
  init(lastPage: Int, filePages: Int, collectingUnused oldestRead: Int?) {
    used = PageSet(bound: min(lastPage + 1, filePages))
    free = PageSet(bound: lastPage + 1)
    if let oldestRead {
      unused = UnusedBytes(oldestRead: oldestRead, pagesBound: used.bound)
    }
  }

  /// The number of pages that are neither used nor free, once all are known.
  var leaked: Int { free.bound - PageFormat.metaPages - used.count - free.count }

  /// Checks that a run of pages is in the file.
  func checkInFile(
    _ first: UInt64, pages: Int, _ damaged: (String) -> LMDBError
  ) throws(LMDBError) {
    // Neither number is negative, and `used.bound` is less than 2⁴⁹.
    guard first >= UInt64(PageFormat.metaPages), first < UInt64(used.bound),
      pages <= used.bound - Int(first)
    else {
      throw damaged("refers to \(pages) pages from \(first), where the file has \(used.bound)")
    }
  }

  /// Marks a run of pages as used. Throws if a page is outside the file, used elsewhere or free.
  mutating func use(
    _ first: UInt64, pages: Int, _ damaged: (String) -> LMDBError
  ) throws(LMDBError) {
    try checkInFile(first, pages: pages, damaged)
    for page in Int(first)..<(Int(first) + pages) {
      guard used.insert(page) else {
        throw damaged("refers to page \(page), which is in use elsewhere")
      }
      guard !free.contains(page) else {
        throw damaged("refers to page \(page), which is in the list of free pages")
      }
    }
  }

  /// Marks a page as free, up to the last page. Transaction `freedBy` was the first not to use it.
  mutating func addFree(
    _ page: Int, freedBy: Int, _ damaged: (String) -> LMDBError
  ) throws(LMDBError) {
    guard free.insert(page) else { throw damaged("page \(page) is free twice") }
    // The file may end before the page.
    guard page >= used.bound || !used.contains(page) else {
      throw damaged("page \(page) is in use, and in the list of free pages")
    }
    unused?.addFree(page, freedBy: freedBy)
  }

  /// Adds leaked pages to the unused bytes, once all others are known.
  mutating func addLeaked(lastTransaction: Int) {
    unused?.addLeaked(used: used, free: free, lastTransaction: lastTransaction)
  }
}
