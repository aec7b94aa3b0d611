/// Counts patterns drawn from the text in two ways; see `SealedIndex.checkSamples`.
struct SampleCheck {
  private let core: SealedCore
  private var state: UInt64

  init(_ core: SealedCore, seed: UInt64) {
    self.core = core
    state = seed
  }

  /// A number below `bound`, from a multiplicative congruential generator. Its upper half is good
  /// enough to draw samples.
  private mutating func draw(below bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(((state >> 32) &* UInt64(bound)) >> 32)
  }

  mutating func checkOne() throws(SealedIndex.CheckError) {
    if core.layout.suffixes.count == 0 { return }
    let position = Int(core.suffix(UInt32(draw(below: core.layout.suffixes.count))))
    let lengthMax = 1 + draw(below: core.depth)
    var cursor = core.start
    var length = 0
    while length < lengthMax {
      let token = core.text(at: position + length)
      if token < 0 { break }
      guard let child = core.child(of: cursor, token: token) else {
        throw .damaged(
          .pattern(position: position, tokens: length + 1), problem: "is not found in the tree")
      }
      cursor = child
      length += 1
    }
    if length == 0 {
      throw .damaged(.text(position), problem: "is the end of a sequence, and has a rank")
    }
    let count =
      rank(behind: position, length, orEqual: true)
      - rank(behind: position, length, orEqual: false)
    if count != Int(cursor.count) {
      throw .damaged(
        .pattern(position: position, tokens: length),
        problem: "occurs \(cursor.count) times by the tree, \(count) times by the suffixes")
    }
  }

  /// The first rank whose suffix comes after the pattern at a position or, if `orEqual` is false,
  /// does not come before it.
  private func rank(behind position: Int, _ length: Int, orEqual: Bool) -> Int {
    var (low, high) = (0, core.layout.suffixes.count)
    while low < high {
      let middle = (low + high) / 2
      let suffix = Int(core.suffix(UInt32(middle)))
      var offset = 0
      while offset < length, core.text(at: suffix + offset) == core.text(at: position + offset) {
        offset += 1
      }
      let isBefore =
        offset == length
        ? orEqual : core.text(at: suffix + offset) < core.text(at: position + offset)
      if isBefore { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
