/// When segments are merged: as soon as `mergeFanIn` of them are of one size class.
///
/// Class 0 holds what sealing makes, class k up to fanIn^k times as much. So there are at most
/// (fanIn − 1) · classes segments (and those that are as large as merging makes them), and each
/// token is rewritten at most once a class.
struct MergePolicy {
  private let options: StoreOptions

  init(_ options: StoreOptions) {
    self.options = options
  }

  func sizeClass(tokens: Int) -> Int {
    var sizeClass = 0
    var bound = 2 * options.sealTokens
    while tokens >= bound {
      sizeClass += 1
      bound *= options.mergeFanIn
    }
    return sizeClass
  }

  /// The segments to merge next, smallest class first, or nil.
  func choose(_ segments: [Segment]) -> [Segment]? {
    let classes = Dictionary(grouping: segments) { sizeClass(tokens: $0.record.tokens) }
    for sizeClass in classes.keys.sorted() {
      guard let members = classes[sizeClass], members.count >= options.mergeFanIn else { continue }
      var tokens = 0
      let chosen = members.prefix(options.mergeFanInMax).prefix { member in
        tokens += member.record.tokens
        return tokens <= options.mergeTokensMax
      }
      if chosen.count >= options.mergeFanIn { return Array(chosen) }
    }
    return nil
  }
}
