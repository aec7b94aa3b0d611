/// A growable array of plain data that is addressed by 32-bit index and lives outside Swift's
/// array machinery, so that reading an element costs one load: no uniqueness check, no reference
/// count, and no bounds check in release builds.
///
/// All growing memory of this module is allocated and freed here.
@safe
struct Pool<Element: BitwiseCopyable>: ~Copyable {
  private var base: UnsafeMutablePointer<Element>
  private(set) var count = 0
  private(set) var capacity: Int

  /// Reserves room for `capacity` elements. The pages are touched, and so take memory, only as
  /// elements are appended.
  init(capacity: Int) {
    self.capacity = max(capacity, 4)
    unsafe base = .allocate(capacity: self.capacity)
  }

  deinit {
    unsafe base.deallocate()
  }

  var bytes: Int { capacity * MemoryLayout<Element>.stride }
  var bytesUsed: Int { count * MemoryLayout<Element>.stride }

  // SAFETY: indexes come only from this pool's own `append` (kept in states, edges and hash slots
  // of the same core), and a pool never shrinks; debug builds assert that they are in range.
  subscript(index: UInt32) -> Element {
    @inline(__always) unsafeAddress {
      assert(index < count, "index \(index) outside a pool of \(count)")
      return unsafe UnsafePointer(base + Int(truncatingIfNeeded: index))
    }
    @inline(__always) unsafeMutableAddress {
      assert(index < count, "index \(index) outside a pool of \(count)")
      return unsafe base + Int(truncatingIfNeeded: index)
    }
  }

  /// Appends an element and returns its index.
  ///
  /// - Precondition: fewer than 2^32 − 1 elements; the largest value stands for "none".
  /// - Complexity: amortized O(1).
  @inline(__always)
  mutating func append(_ element: Element) -> UInt32 {
    if count == capacity { grow(to: capacity * 2) }
    unsafe (base + count).initialize(to: element)
    count &+= 1
    return UInt32(truncatingIfNeeded: count &- 1)
  }

  mutating func append(repeating element: Element, count added: Int) {
    if count + added > capacity { grow(to: max(capacity * 2, count + added)) }
    unsafe (base + count).initialize(repeating: element, count: added)
    count += added
  }

  @inline(never)
  private mutating func grow(to newCapacity: Int) {
    precondition(newCapacity < Int(UInt32.max), "a growing index holds fewer than 2^32 elements")
    let larger = UnsafeMutablePointer<Element>.allocate(capacity: newCapacity)
    unsafe larger.initialize(from: base, count: count)
    unsafe base.deallocate()
    unsafe base = larger
    capacity = newCapacity
  }
}
