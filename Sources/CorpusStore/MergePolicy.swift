/// When segments are merged: as soon as `fanIn` of them are of one size class.
///
/// Class 0 holds what sealing makes, class k up to fanIn^k times as much. So there are at most
/// (fanIn − 1) · classes segments, and each token is rewritten once a class.
struct MergePolicy {
  let sealTokens: Int
  let fanIn: Int

  func sizeClass(tokens: Int) -> Int {
    var sizeClass = 0
    var bound = 2 * sealTokens
    while tokens >= bound {
      sizeClass += 1
      bound *= fanIn
    }
    return sizeClass
  }

  /// The segments to merge next, smallest class first, or nil.
  func choose(_ segments: [Segment]) -> [Segment]? {
    let classes = Dictionary(grouping: segments) { sizeClass(tokens: $0.record.tokens) }
    for sizeClass in classes.keys.sorted() {
      if let members = classes[sizeClass], members.count >= fanIn {
        return Array(members.prefix(fanIn))
      }
    }
    return nil
  }
}
