import CorpusFormat
import RepriseModel
import SuffixIndex

/// Chooses the segments to merge. A merge starts when `mergeFanIn` segments are in one size class.
///
/// Class 0 has the segments that sealing made, class k those of up to fanIn^k times the size of a
/// segment of class 0. There are therefore at most (fanIn − 1) · classes segments, and those that
/// have reached the largest size. Each token is rewritten at most once for each class.
///
/// If history is bounded, the oldest segment is rewritten each time that a part of it is removed.
/// The content of a segment should therefore be close in age, so that it is removed at about the
/// same time. For this reason a segment holds at most a quarter of the bound, and only segments that
/// are neighbours in age are merged. Such a history has four to eight segments.
///
/// A merge takes at most `bytesMax` of memory, which is half of the memory that the process may have.
/// A segment of the largest size that such a merge produces is not merged again, so little memory
/// means more segments and slower drafts. A run, which is a number of neighbours to merge, may fit
/// into `bytesMax` but not into the memory that is free now. It is then split into shorter runs, or
/// it waits.
struct MergePolicy {
  private let sealTokens: Int
  private let fanIn: Int
  private let fanInMax: Int
  private let segmentsMax: Int
  private let sizeMax: HistorySize
  private let secondsMax: UInt64
  private let bytesMax: Int
  private let bytesScale: Double

  /// - Parameter bytesScale: The factor by which merging took more memory than was estimated.
  init(_ options: StoreOptions, _ retention: Retention, bytesScale: Double = 1) {
    sealTokens = PartBounds(options, retention).tokens
    fanIn = options.mergeFanIn
    fanInMax = options.mergeFanInMax
    segmentsMax = options.segmentsMax
    sizeMax = HistorySize(
      tokens: min(options.mergeTokensMax, retention.tokens.map { $0 / 4 } ?? .max),
      sequences: retention.sequences.map { $0 / 4 } ?? .max)
    secondsMax = retention.ageSeconds.map { UInt64($0 / 4) } ?? .max
    bytesMax = options.memory.bytes(sixteenths: Self.bytesShare)
    self.bytesScale = bytesScale
  }

  /// The share of the memory, in sixteenths, that one merge may take.
  static let bytesShare = 8

  func sizeClass(tokens: Int) -> Int {
    var sizeClass = 0
    var bound = 2 * sealTokens
    while tokens >= bound {
      sizeClass += 1
      bound *= fanIn
    }
    return sizeClass
  }

  /// The properties of a segment that the policy needs.
  struct Candidate {
    var number: UInt64
    var record: SegmentRecord
    /// The number of branching patterns in its index.
    var nodes: Int

    var size: HistorySize { record.size }
  }

  /// Segments that should be merged into one.
  struct Run {
    var numbers: [UInt64]
    /// Memory that merging the run takes.
    var bytes: Int
  }

  enum Choice {
    /// Nothing is to be merged.
    case none
    /// The run to merge now.
    case merge(Run)
    /// The run to merge when there is memory for it.
    case wait(Run)
  }

  /// The segments to merge next, smallest class first.
  ///
  /// - Parameter fits: Returns true if this amount of memory is available now.
  func choose(_ segments: [Candidate], fits: (_ bytes: Int) -> Bool) -> Choice {
    let oldestFirst = segments.sorted { $0.record.orders.lowerBound < $1.record.orders.lowerBound }
    let classes = Dictionary(grouping: oldestFirst) { sizeClass(tokens: $0.size.tokens) }
    for sizeClass in classes.keys.sorted() {
      guard var members = classes[sizeClass]?[...] else { continue }
      while members.count >= 2 {
        let run = longestRun(members)
        // A run may be short because the next segment would exceed a bound. It is worth merging if
        // it makes a large segment; otherwise it waits for more.
        let isLimited = run.count < min(members.count, fanInMax)
        if run.count >= fanIn || (isLimited && run.count >= 2 && isLarge(run)) {
          return narrowed(run, fits, fewest: segments.count > segmentsMax ? 2 : fanIn)
        }
        members = members.dropFirst()
      }
    }
    return .none
  }

  /// The largest part of a run that fits into memory: at least `fewest` segments, because merging
  /// in small steps rewrites tokens often.
  private func narrowed(
    _ run: ArraySlice<Candidate>, _ fits: (_ bytes: Int) -> Bool, fewest: Int
  ) -> Choice {
    var run = run
    let least = min(run.count, fewest)
    while true {
      let bytes = bytes(run)
      let described = Run(numbers: run.map(\.number), bytes: bytes)
      if fits(bytes) { return .merge(described) }
      if run.count <= least { return .wait(described) }
      run = run.prefix(max(least, run.count / 2))
    }
  }

  /// The first segments that may be merged into one.
  private func longestRun(_ members: ArraySlice<Candidate>) -> ArraySlice<Candidate> {
    var size = HistorySize()
    var seconds: ClosedRange<UInt64>?
    var cost = Cost()
    return members.prefix(fanInMax).prefix { member in
      size += member.size
      cost.add(member)
      let (oldest, newest) = (member.record.seconds.lowerBound, member.record.seconds.upperBound)
      let span =
        min(seconds?.lowerBound ?? oldest, oldest)...max(seconds?.upperBound ?? newest, newest)
      seconds = span
      return size.tokens <= sizeMax.tokens && size.sequences <= sizeMax.sequences
        && span.upperBound - span.lowerBound <= secondsMax && scaled(cost) <= bytesMax
    }
  }

  private func isLarge(_ run: ArraySlice<Candidate>) -> Bool {
    var size = HistorySize()
    for member in run { size += member.size }
    return size.tokens > sizeMax.tokens / 2 || size.sequences > sizeMax.sequences / 2
      || bytes(run) > bytesMax / 2
  }

  private func bytes(_ run: ArraySlice<Candidate>) -> Int {
    var cost = Cost()
    for member in run { cost.add(member) }
    return scaled(cost)
  }

  private func scaled(_ cost: Cost) -> Int { Int(Double(cost.bytes) * bytesScale) }

  /// An estimate of the memory that merging takes, from the current segments: text from different
  /// segments branches in more places when it is in one.
  private struct Cost {
    private var textTokens = 0
    private var nodes = 0
    private var imageBytes = 0
    private var tableBytes = 0
    /// Memory for the entries of the one segment whose table is being read.
    private var entriesBytes = 0

    mutating func add(_ member: Candidate) {
      textTokens += member.record.textTokens
      nodes += member.nodes
      imageBytes += member.record.imageBytes
      tableBytes += member.record.tableBytes
      entriesBytes = max(
        entriesBytes,
        SequenceTable.bytesToRead(
          sequences: member.size.sequences, tableBytes: member.record.tableBytes))
    }

    var bytes: Int {
      SegmentBuilder.peakBytes(
        textTokens: textTokens, nodes: nodes * 5 / 4, imageBytes: imageBytes * 9 / 8)
        + tableBytes + entriesBytes
    }
  }
}

extension Segment {
  var candidate: MergePolicy.Candidate {
    MergePolicy.Candidate(number: number, record: record, nodes: index.nodeCount)
  }
}
