import Foundation
import LMDB
import Testing

/// Each structural fault, put into a small file by hand, is found and named.
@Suite struct PageFaultTests {
  /// A file with the offsets of its parts: see `PageFormat`.
  struct Image {
    var bytes: [UInt8]

    func number(_ offset: Int, _ count: Int) -> Int {
      bytes[offset..<(offset + count)].reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    mutating func set(_ offset: Int, _ count: Int, _ number: Int) {
      for index in 0..<count { bytes[offset + index] = UInt8(number >> (8 * index) & 0xFF) }
    }

    /// The offset of the newer meta page.
    var meta: Int { number(144, 8) > number(4096 + 144, 8) ? 0 : 4096 }
    var free: Int { number(meta + 80, 8) &* 4096 }
    var main: Int { number(meta + 128, 8) &* 4096 }
    func count(_ page: Int) -> Int { (number(page + 12, 2) - 16) / 2 }
    func node(_ page: Int, _ index: Int) -> Int { page + number(page + 16 + 2 * index, 2) }
    func value(_ node: Int) -> Int { node + 8 + number(node + 6, 2) }
    /// The offset of the description of a table.
    func table(_ index: Int) -> Int { value(node(main, index)) }
    func root(_ table: Int) -> Int { number(self.table(table) + 40, 8) * 4096 }
    func child(_ page: Int, _ index: Int) -> Int { number(node(page, index), 6) * 4096 }

    /// The node that has pages of its own, and the first of these.
    var large: (node: Int, page: Int) {
      for child in 0..<count(root(1)) {
        let leaf = self.child(root(1), child)
        for index in 0..<count(leaf) where number(node(leaf, index) + 4, 2) == 1 {
          return (node(leaf, index), number(value(node(leaf, index)), 8) * 4096)
        }
      }
      preconditionFailure("the sample has no large value")
    }
  }

  typealias Fault = (reason: String, put: @Sendable (inout Image) -> Void)

  /// The faults with the reasons that the check must give.
  static let faults: [Fault] = {
    var faults: [Fault] = []
    func fault(_ reason: String, _ put: @escaping @Sendable (inout Image) -> Void) {
      faults.append((reason, put))
    }
    // Meta pages.
    fault("expected LMDB's mark") { image in image.set(4096 + 16, 4, 7) }
    fault("version of LMDB's format: expected 1, found 2") { image in image.set(20, 4, 2) }
    fault("version of LMDB's format: expected 1, found 0") { image in image.set(4096 + 20, 4, 0) }
    fault("page number: expected 1, found 3") { image in image.set(4096, 8, 3) }
    fault("flags: expected 8") { image in image.set(10, 2, 4) }
    fault("page size: expected a power of two") { image in image.set(40, 4, 0) }
    fault("page size: expected a power of two") { image in image.set(40, 4, 512) }
    fault("page size: expected a power of two") { image in image.set(40, 4, 65536) }
    fault("page size: expected a power of two") { image in image.set(40, 4, 5000) }
    fault("page size: expected 4096, as in page 0") { image in image.set(4096 + 40, 4, 8192) }
    fault("flags of the free pages' tree") { image in image.set(44, 2, 0) }
    fault("flags of the main tree") { image in image.set(92, 2, 4) }
    fault("an even number") { image in image.set(144, 8, 1) }
    fault("an odd number") { image in image.set(4096 + 144, 8, 1 << 62 + 1) }
    fault("one more than the other meta page's") { image in
      image.set(image.meta + 144, 8, 1000 + image.meta / 4096)
    }
    fault("last page: expected less than") { image in image.set(image.meta + 136, 8, 1 << 40) }
    fault("last page: found") { image in image.set(image.meta + 136, 8, 1 << 62) }
    fault("last page: found 0") { image in image.set(image.meta + 136, 8, 0) }
    fault("root of the main tree") { image in image.set(image.meta + 128, 8, 1) }
    fault("root of the free pages' tree") { image in image.set(image.meta + 80, 8, 1 << 20) }
    fault("depth of the main tree") { image in image.set(image.meta + 94, 2, 25) }
    fault("the main tree has no root") { image in image.set(image.meta + 128, 8, -1) }
    // Pages of trees.
    fault("refers to 1 pages from 1,") { image in image.set(image.node(image.root(1), 0), 6, 1) }
    fault("refers to 1 pages from 9999,") { image in
      image.set(image.node(image.root(1), 0), 6, 9999)
    }
    fault("in use elsewhere") { image in
      image.set(image.node(image.root(1), 1), 6, image.child(image.root(1), 0) / 4096)
    }
    fault("page number: expected") { image in image.set(image.root(0), 8, 77) }
    fault("flags: expected 2, a leaf") { image in image.set(image.root(0) + 10, 2, 0x22) }
    fault("flags: expected 1, a branch") { image in image.set(image.root(1) + 10, 2, 2) }
    fault("flags: expected 1, a branch") { image in image.set(image.table(0) + 6, 2, 2) }
    fault("flags: expected 2, a leaf") { image in image.set(image.table(1) + 6, 2, 1) }
    fault("bounds of the gap") { image in image.set(image.root(0) + 12, 2, 8) }
    fault("bounds of the gap") { image in image.set(image.root(0) + 14, 2, 4098) }
    fault("bounds of the gap") { image in
      image.set(image.root(0) + 14, 2, image.number(image.root(0) + 12, 2) - 2)
    }
    fault("nodes: expected 1") { image in image.set(image.root(0) + 12, 2, 16) }
    fault("nodes: expected 2") { image in image.set(image.root(1) + 12, 2, 18) }
    fault("node 0: expected within") { image in image.set(image.root(0) + 16, 2, 64) }
    fault("node 0: expected within") { image in image.set(image.root(0) + 16, 2, 4090) }
    fault("leave the page") { image in image.set(image.node(image.root(0), 0), 4, 1500) }
    fault("another one is at") { image in
      image.set(image.root(0) + 16, 2, image.number(image.root(0) + 18, 2))
    }
    fault("no node begins at") { image in
      image.set(image.root(0) + 14, 2, image.number(image.root(0) + 14, 2) - 2)
    }
    fault("no node begins at") { image in image.set(image.node(image.root(0), 1), 4, 3) }
    fault("expected a key of") { image in image.set(image.node(image.root(0), 0) + 6, 2, 0) }
    fault("expected a key of") { image in image.set(image.node(image.root(0), 0) + 6, 2, 512) }
    fault("expected a key of 8...8 bytes") { image in image.set(image.node(image.free, 0) + 6, 2, 4)
    }
    fault("node 0: flags: found 4") { image in image.set(image.node(image.root(0), 0) + 4, 2, 4) }
    fault("expected a table, found a value") { image in
      image.set(image.node(image.main, 0) + 4, 2, 0)
    }
    fault("expected a table, found a value") { image in
      image.set(image.node(image.main, 0) + 4, 2, 1)
    }
    fault("not in the main tree") { image in image.set(image.node(image.root(0), 0) + 4, 2, 2) }
    fault("a table of 40 bytes") { image in image.set(image.node(image.main, 0), 4, 40) }
    fault("bytes at most") { image in image.set(image.node(image.root(0), 0), 4, 3000) }
    fault("does not come after the one before") { image in
      image.set(image.node(image.root(0), 1) + 15, 1, 0)
    }
    fault("does not come after the one before") { image in
      image.set(image.node(image.root(0), 3) + 15, 1, 1)
    }
    fault("before the page's separator") { image in
      image.set(image.node(image.child(image.root(1), 1), 0) + 8, 1, 0)
    }
    fault("after the next page's separator") { image in
      let leaf = image.child(image.root(1), 0)
      image.set(image.node(leaf, image.count(leaf) - 1) + 8, 1, 200)
    }
    fault("branch pages: expected 2") { image in image.set(image.table(1) + 8, 8, 2) }
    fault("leaf pages: expected 9") { image in image.set(image.table(1) + 16, 8, 9) }
    fault("overflow pages: expected 3") { image in image.set(image.table(1) + 24, 8, 3) }
    fault("entries: expected 3") { image in image.set(image.table(0) + 32, 8, 3) }
    fault("expected flags 0, found 4") { image in image.set(image.table(0) + 4, 2, 4) }
    fault("table table2 has no root") { image in image.set(image.table(2) + 32, 8, 1) }
    // Large values.
    fault("refers to 2 pages from") { image in image.set(image.value(image.large.node), 8, 9999) }
    fault("refers to 2 pages from 0") { image in image.set(image.value(image.large.node), 8, 0) }
    fault("refers to 9 pages from") { image in image.set(image.large.node, 4, 8 * 4096) }
    fault("page number: expected") { image in image.set(image.large.page, 8, 1) }
    fault("flags: expected 4") { image in image.set(image.large.page + 10, 2, 5) }
    fault("pages: expected 2 at least") { image in image.set(image.large.page + 12, 4, 1) }
    fault("overflow pages: expected 2, found 3|in use") { image in
      image.set(image.large.page + 12, 4, 3)
    }
    fault("pages from") { image in image.set(image.large.page + 12, 4, -1) }
    // The list of free pages.
    fault("free pages of transaction 0") { image in image.set(image.node(image.free, 0) + 8, 8, 0) }
    fault("free pages of transaction 9000") { image in
      image.set(image.node(image.free, image.count(image.free) - 1) + 8, 8, 9000)
    }
    fault("in 16 bytes|bytes") { image in image.set(image.value(image.node(image.free, 0)), 8, 400)
    }
    fault("expected pages up to") { image in
      image.set(image.value(image.node(image.free, 0)) + 8, 8, 9999)
    }
    fault("expected pages up to") { image in
      image.listed { $0.set($1, 8, 1) }
    }
    fault("the numbers do not fall") { image in
      image.listed { $0.set($1, 8, $0.number($1 - 8, 8)) }
    }
    fault("the numbers do not fall") { image in
      image.listed {
        let last = $0.number($1, 8)
        $0.set($1, 8, $0.number($1 - 8, 8))
        $0.set($1 - 8, 8, last)
      }
    }
    fault("in use, and in the list") { image in
      let main = image.main / 4096
      let list = image.value(image.node(image.free, 0))
      image.set(list, 8, 1)
      image.set(list + 8, 8, main)
    }
    fault("free twice") { image in
      let list = image.value(image.node(image.free, 0))
      image.set(list, 8, 1)
      let other = image.value(image.node(image.free, 1))
      image.set(list + 8, 8, image.number(other + 8, 8))
    }
    return faults
  }()

  @Test func eachFaultIsNamed() throws {
    let sample = try DamagedFileTests.sample()
    for (number, fault) in Self.faults.enumerated() {
      var image = Image(bytes: sample)
      fault.put(&image)
      #expect(image.bytes != sample, "fault \(number): \(fault.reason)")
      let directory = try ScratchDirectory()
      try directory.write(image.bytes)
      let refusal = Self.refusal(directory)?.description ?? "none"
      let isNamed = fault.reason.split(separator: "|").contains { refusal.contains($0) }
      #expect(isNamed, "fault \(number): expected \(fault.reason), found \(refusal)")
    }
  }

  private static func refusal(_ directory: ScratchDirectory) -> LMDBError? {
    do throws(LMDBError) {
      let environment = try Environment(
        directory: directory.path, options: Environment.Options(mapBytes: 1 << 20))
      defer { environment.close() }
      try environment.checkPages()
      return nil
    } catch {
      return error
    }
  }
}

extension PageFaultTests.Image {
  /// Passes the place of the last number in the first list of free pages that has more than one.
  mutating func listed(_ body: (inout Self, Int) -> Void) {
    for index in 0..<count(free) {
      let list = value(node(free, index))
      let pages = number(list, 8)
      if pages > 1 { return body(&self, list + 8 * pages) }
    }
    preconditionFailure("the sample has no two free pages")
  }

  /// The number of bytes between, behind and after the nodes of the trees that are not zero, in a
  /// file that passes the check.
  func residue() -> Int {
    var found = 0
    func count(_ range: Range<Int>) { found += bytes[range].count { $0 != 0 } }
    func walk(_ root: Int, isFree: Bool, isMain: Bool) {
      // A root of all ones is not a page, and neither is its part in 48 bits.
      if root < 0 || root >= bytes.count { return }
      count(root + number(root + 12, 2)..<root + number(root + 14, 2))
      let isLeaf = number(root + 10, 2) == 2
      for index in 0..<self.count(root) {
        let node = node(root, index)
        if !isLeaf {
          if number(node + 6, 2) & 1 == 1 { count(value(node)..<value(node) + 1) }
          walk(child(root, index), isFree: isFree, isMain: isMain)
          continue
        }
        let (size, flags) = (number(node, 4), number(node + 4, 2))
        let end = value(node) + (flags == 1 ? 8 : size)
        if (end - node) & 1 == 1 { count(end..<end + 1) }
        if flags == 2 && isMain {
          let table = number(value(node) + 40, 8)
          if table > 0 { walk(table * 4096, isFree: false, isMain: false) }
        }
        let run = flags == 1 ? number(value(node), 8) * 4096 : 0
        let start = flags == 1 ? run + 16 : value(node)
        if isFree { count(start + 8 + 8 * number(start, 8)..<start + size) }
        if flags == 1 { count(start + size..<run + number(run + 12, 4) * 4096) }
      }
    }
    walk(main, isFree: false, isMain: true)
    walk(free, isFree: true, isMain: false)
    return found
  }
}
