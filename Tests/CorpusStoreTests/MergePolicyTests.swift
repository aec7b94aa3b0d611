import CorpusFormat
import HistoryEngine
import RepriseModel
import TestSupport
import Testing

@testable import CorpusStore

@Suite struct MergePolicyTests {
  private static let sealTokens = 1 << 18

  private static func segment(_ number: UInt64, tokens: Int) -> MergePolicy.Candidate {
    let record = SegmentRecord(
      size: HistorySize(tokens: tokens, sequences: tokens / 100 + 1), imageBytes: tokens * 13,
      tableBytes: tokens / 100 * 40, orders: number...number, seconds: 0...1, tokenBits: 17,
      checksums: [])
    return MergePolicy.Candidate(number: number, record: record, nodes: tokens / 2)
  }

  private static func options(limit: Int) -> StoreOptions {
    var options = StoreOptions()
    options.sealTokens = sealTokens
    options.memory = MemoryBudget(limit: limit, measuredBy: { 0 })
    return options
  }

  /// Seals and merges as a corpus does. Returns the segments, and the number of rewritten tokens.
  private static func grow(
    seals: Int, limit: Int, fits: (Int) -> Bool = { _ in true }
  ) -> (segments: [MergePolicy.Candidate], rewritten: Int, largest: Int) {
    let policy = MergePolicy(options(limit: limit), Retention())
    var segments: [MergePolicy.Candidate] = []
    var (next, rewritten, largest) = (UInt64(0), 0, 0)
    let sealed = PartBounds(options(limit: limit), Retention()).tokens
    for _ in 0..<seals {
      segments.append(segment(next, tokens: sealed))
      next += 1
      while case .merge(let run) = policy.choose(segments, fits: fits) {
        largest = max(largest, run.bytes)
        let merged = segments.filter { run.numbers.contains($0.number) }
        segments.removeAll { run.numbers.contains($0.number) }
        let tokens = merged.reduce(0) { $0 + $1.size.tokens }
        rewritten += tokens
        var new = segment(next, tokens: tokens)
        new.record.orders =
          merged.map(\.record.orders.lowerBound).min()!...merged.map(\.record.orders.upperBound)
          .max()!
        segments.append(new)
        next += 1
      }
    }
    return (segments, rewritten, largest)
  }

  /// A growing history is merged as far as memory allows: no merge takes more than half of it, and
  /// the number of segments stays as low as that permits.
  @Test(arguments: [64 << 20, 205 << 20, 410 << 20, 4 << 30])
  func noMergeTakesMoreThanHalfOfMemory(limit: Int) {
    let seals = 400
    let (segments, rewritten, largest) = Self.grow(seals: seals, limit: limit)
    #expect(largest <= limit / 2 && largest > 0)
    let tokens = segments.reduce(0) { $0 + $1.size.tokens }
    // Some 32 bytes a token: a merge makes segments of more than a quarter of the memory.
    let few = tokens / (limit / 4 / 40)
    #expect(segments.count <= few + 16, "\(segments.count) segments, \(few) expected")
    #expect(rewritten <= 6 * tokens, "tokens are rewritten \(rewritten / tokens) times")
  }

  @Test func runsThatDoNotFitAreNarrowedOrWait() throws {
    let policy = MergePolicy(Self.options(limit: 4 << 30), Retention())
    let segments = (0..<16).map { Self.segment(UInt64($0), tokens: Self.sealTokens) }
    guard case .merge(let wide) = policy.choose(segments, fits: { _ in true }) else {
      Issue.record("sixteen segments of a size are merged")
      return
    }
    #expect(wide.numbers.count == 16)
    guard case .merge(let narrow) = policy.choose(segments, fits: { $0 <= wide.bytes / 2 }) else {
      Issue.record("half of them are merged")
      return
    }
    #expect(narrow.numbers.count == 4 || narrow.numbers.count == 8)
    #expect(narrow.bytes <= wide.bytes / 2)
    guard case .wait(let waiting) = policy.choose(segments, fits: { _ in false }) else {
      Issue.record("they wait where nothing fits")
      return
    }
    #expect(waiting.numbers.count == 4)
    // Memory is free again.
    guard case .merge = policy.choose(segments, fits: { $0 <= waiting.bytes }) else {
      Issue.record("they are merged when there is memory")
      return
    }
  }

  /// Drafts are slow beyond `segmentsMax`, so two segments are merged if no more fit.
  @Test func tooManySegmentsAreMergedInPairs() {
    let policy = MergePolicy(Self.options(limit: 4 << 30), Retention())
    let segments = (0..<60).map { Self.segment(UInt64($0), tokens: Self.sealTokens) }
    var asked: [Int] = []
    guard
      case .merge(let pair) = policy.choose(
        segments,
        fits: { bytes in
          asked.append(bytes)
          return asked.count == 4
        })
    else {
      Issue.record("two are merged")
      return
    }
    #expect(pair.numbers.count == 2 && asked == asked.sorted(by: >))
  }

  /// Text that branches in more places than was estimated makes later merges smaller.
  @Test func underestimatedMergesCorrectTheEstimate() {
    let segments = (0..<4).map { Self.segment(UInt64($0), tokens: Self.sealTokens) }
    func bytes(_ scale: Double) -> Int {
      let policy = MergePolicy(Self.options(limit: 4 << 30), Retention(), bytesScale: scale)
      guard case .merge(let run) = policy.choose(segments, fits: { _ in true }) else { return 0 }
      return run.bytes
    }
    #expect(bytes(1) > 0 && bytes(1.5) == Int(Double(bytes(1)) * 1.5))
  }

  @Test func partsAreSmallerWhereMemoryIsShort() {
    func sealTokens(_ limit: Int) -> Int {
      PartBounds(Self.options(limit: limit), Retention()).tokens
    }
    #expect(sealTokens(4 << 30) == Self.sealTokens)
    let small = sealTokens(64 << 20)
    #expect(small < Self.sealTokens && small * 6 * GrowingPart.bytesPerToken <= 16 << 20)
    #expect(sealTokens(0) == 16)
  }
}
