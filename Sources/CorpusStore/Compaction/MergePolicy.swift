/// When segments are merged: as soon as `mergeFanIn` of them are of one size class.
///
/// Class 0 holds what sealing makes, class k up to fanIn^k times as much. So there are at most
/// (fanIn − 1) · classes segments (and those that are as large as merging makes them), and each
/// token is rewritten at most once a class.
///
/// Where history is bounded, what lies in one segment should leave together: the oldest segment is
/// rewritten each time that some of it leaves. So a segment holds a quarter of the bound at most,
/// and neighbours in age are merged; there are some four to eight such segments then.
struct MergePolicy {
  private let sealTokens: Int
  private let fanIn: Int
  private let fanInMax: Int
  private let sizeMax: HistorySize
  private let secondsMax: UInt64

  init(_ options: StoreOptions, _ retention: Retention) {
    sealTokens = Self.sealTokens(options, retention)
    fanIn = options.mergeFanIn
    fanInMax = options.mergeFanInMax
    sizeMax = HistorySize(
      tokens: min(options.mergeTokensMax, retention.tokens.map { $0 / 4 } ?? .max),
      sequences: retention.sequences.map { $0 / 4 } ?? .max)
    secondsMax = retention.ageSeconds.map { UInt64($0 / 4) } ?? .max
  }

  /// Tokens after which a growing part is sealed: no more than an eighth of a bound.
  static func sealTokens(_ options: StoreOptions, _ retention: Retention) -> Int {
    min(options.sealTokens, retention.tokens.map { max(16, $0 / 8) } ?? .max)
  }

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
    let oldestFirst = segments.sorted { $0.record.orders.lowerBound < $1.record.orders.lowerBound }
    let classes = Dictionary(grouping: oldestFirst) { sizeClass(tokens: $0.record.tokens) }
    for sizeClass in classes.keys.sorted() {
      guard var members = classes[sizeClass]?[...] else { continue }
      while members.count >= 2 {
        let run = longestRun(members)
        // A run that is shorter because the next one would be too much is worth merging if it makes
        // a large segment; otherwise it waits for more.
        let isLimited = run.count < min(members.count, fanInMax)
        if run.count >= fanIn || (isLimited && run.count >= 2 && isLarge(run)) {
          return Array(run)
        }
        members = members.dropFirst()
      }
    }
    return nil
  }

  /// How many segments from the first on may become one.
  private func longestRun(_ members: ArraySlice<Segment>) -> ArraySlice<Segment> {
    var size = HistorySize()
    var seconds: ClosedRange<UInt64>?
    return members.prefix(fanInMax).prefix { member in
      size += member.size
      let (oldest, newest) = (member.record.seconds.lowerBound, member.record.seconds.upperBound)
      let span =
        min(seconds?.lowerBound ?? oldest, oldest)...max(seconds?.upperBound ?? newest, newest)
      seconds = span
      return size.tokens <= sizeMax.tokens && size.sequences <= sizeMax.sequences
        && span.upperBound - span.lowerBound <= secondsMax
    }
  }

  private func isLarge(_ run: ArraySlice<Segment>) -> Bool {
    var size = HistorySize()
    for member in run { size += member.size }
    return size.tokens > sizeMax.tokens / 2 || size.sequences > sizeMax.sequences / 2
  }
}
