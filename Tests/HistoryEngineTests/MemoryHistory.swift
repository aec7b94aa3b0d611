import HistoryEngine
import RepriseModel
import StoreErrors
import SuffixIndex

/// A shared history whose segments are in memory. It seals, merges, removes and replaces as a store
/// does, on the caller's thread.
final class MemoryHistory: OutputRecorder, @unchecked Sendable {
  // Unchecked: one thread uses it.
  let history: SharedHistory
  let keeper: RequestLog
  var isReadOnly = false
  private let depth: Int
  private let sealTokens: Int
  /// The texts of all finished sequences, by their order numbers.
  private(set) var sequences: [UInt64: [Int32]] = [:]
  /// Tokens of their lead-ins.
  private var leadIns: [UInt64: Int] = [:]
  /// The order numbers in each segment, by its number.
  private var segments: [UInt64: [UInt64]] = [:]
  private var nextOrder: UInt64 = 0
  private var nextSegment: UInt64 = 1

  init(
    depth: Int, vocabulary: Int? = nil, leadIn: Int = 0, endIDs: EndIDs = EndIDs(),
    sealTokens: Int = 1 << 20
  ) {
    self.depth = depth
    self.sealTokens = sealTokens
    let keeper = RequestLog()
    self.keeper = keeper
    history = SharedHistory(
      of: "memory",
      CorpusSettings(depth: depth, vocabulary: vocabulary, leadIn: leadIn, endIDs: endIDs),
      LiveHistory(
        parts: [GrowingPart(depth: depth, tokensExpected: sealTokens)],
        source: MemorySegments([], depth: depth, mark: DamageMark()), mark: DamageMark()),
      keeper: keeper)
  }

  var segmentCount: Int { segments.count }

  private func takeOrder(of tokens: [Int32], leadInTokens: Int = 0) -> FinishedSequence {
    defer { nextOrder += 1 }
    sequences[nextOrder] = tokens
    leadIns[nextOrder] = leadInTokens
    return finished(nextOrder)
  }

  private func finished(_ order: UInt64) -> FinishedSequence {
    FinishedSequence(
      order: order, tokens: sequences[order]!.count, leadInTokens: leadIns[order]!,
      committedSeconds: order)
  }

  /// The size of all finished sequences.
  var size: HistorySize {
    sequences.keys.reduce(into: HistorySize()) { $0 += finished($1).size }
  }

  /// Adds a finished sequence. Returns its order number.
  @discardableResult
  func insert(_ tokens: [Int32]) -> UInt64 {
    let sequence = takeOrder(of: tokens)
    history.add(tokens, as: sequence)
    beginPartIfFull()
    return sequence.order
  }

  func open(
    _ prompt: [Int32] = [], share: SharePolicy = .live, vocabulary: Int32 = .max,
    continuing parent: DecodingSession? = nil
  ) -> DecodingSession {
    DecodingSession(
      over: history, recordedBy: self, prompt: prompt, share: share, vocabulary: vocabulary,
      continuing: parent)
  }

  func record(
    _ text: [Int32], of session: DecodingSession,
    completion: @escaping @Sendable (Result<RecordReceipt, StoreError>) -> Void
  ) {
    let sequence = takeOrder(of: text, leadInTokens: session.leadInTokens)
    history.finish(session, as: sequence, text)
    beginPartIfFull()
    session.didClose(recorded: true)
    let outputTokens = text.count - session.leadInTokens
    completion(.success(RecordReceipt(recordedTokens: outputTokens, order: sequence.order)))
  }

  // MARK: Layout

  func beginPart() { history.begin(GrowingPart(depth: depth, tokensExpected: sealTokens)) }

  private func beginPartIfFull() {
    if history.newestPart.tokens >= sealTokens { beginPart() }
  }

  /// Seals one part, or moves sessions out of one. Returns true if there was anything to do.
  @discardableResult
  func seal() throws -> Bool {
    switch history.nextSealing(tokensMax: sealTokens) {
    case .nothing: return false
    case .move(let sessions):
      var moved = false
      for session in sessions where session.moveToCurrentPart() { moved = true }
      return moved
    case .seal(let part, let finished, _):
      if !finished.isEmpty { addSegment(finished.map(\.order)) }
      history.install(source(DamageMark()), retiring: part)
      return true
    }
  }

  private func addSegment(_ orders: [UInt64]) {
    segments[nextSegment] = orders.sorted()
    nextSegment += 1
  }

  /// Merges all segments into one.
  func merge() {
    let orders = segments.values.flatMap { $0 }
    if orders.isEmpty { return }
    segments = [:]
    addSegment(orders)
    history.install(source(DamageMark()), retiring: nil)
  }

  /// Removes finished sequences, as forgetting does.
  func remove(_ orders: Set<UInt64>) {
    var unsealed = orders
    for (number, listed) in segments where !orders.isDisjoint(with: listed) {
      segments[number] = nil
      let rest = listed.filter { !orders.contains($0) }
      if !rest.isEmpty { addSegment(rest) }
      unsealed.subtract(listed)
    }
    history.install(source(DamageMark()), retiring: nil)
    for order in unsealed.sorted() {
      if let tokens = sequences[order] { history.remove(order, tokens) }
    }
    for order in orders { sequences[order] = nil }
  }

  /// Replaces the history by one with the same sequences, as restoring and repairing do.
  func replace() {
    let part = GrowingPart(depth: depth, tokensExpected: sealTokens)
    let sealed = Set(segments.values.flatMap { $0 })
    for (order, tokens) in sequences.sorted(by: { $0.key < $1.key }) where !sealed.contains(order) {
      part.add(tokens.span, as: finished(order))
    }
    let mark = DamageMark()
    let new = LiveHistory(parts: [part], source: source(mark), mark: mark)
    for session in history.replace(with: new) { _ = session.moveToCurrentPart() }
  }

  private func source(_ mark: DamageMark) -> MemorySegments {
    MemorySegments(
      segments.sorted { $0.key < $1.key }.map { number, orders in
        (number, orders.map { (finished($0), sequences[$0] ?? []) })
      }, depth: depth, mark: mark)
  }
}

/// Segments that are built in memory.
final class MemorySegments: SegmentSource, @unchecked Sendable {
  // Unchecked: nothing changes after `init`.
  let historySegments: [HistorySegment]
  let place = "memory"
  /// The bytes of the indexes.
  private let images: [SealedImageBuffer]

  init(
    _ segments: [(number: UInt64, sequences: [(of: FinishedSequence, tokens: [Int32])])],
    depth: Int, mark: DamageMark
  ) {
    var (listed, images): ([HistorySegment], [SealedImageBuffer]) = ([], [])
    for (number, sequences) in segments {
      var builder = SealedIndexBuilder(depth: depth)
      for sequence in sequences { builder.append(sequence.tokens.span) }
      let image = builder.build()
      guard let index = try? SealedIndex(image.image, mark: mark) else {
        preconditionFailure("a built image can be opened")
      }
      let orders = sequences.map(\.of.order)
      listed.append(
        HistorySegment(
          number: number, size: sequences.reduce(into: HistorySize()) { $0 += $1.of.size },
          orders: orders.min()!...orders.max()!, index: index))
      images.append(image)
    }
    historySegments = listed
    self.images = images
  }
}

/// Counts the requests of a history.
final class RequestLog: HistoryKeeper, @unchecked Sendable {
  // Unchecked: one thread uses it.
  private(set) var sealing = 0
  private(set) var repairs = 0

  func requestSealing() { sealing += 1 }
  func requestRepair() { repairs += 1 }
}
