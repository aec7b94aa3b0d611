import Concurrency
import CorpusFormat
import HistoryEngine
import LMDB
import RepriseModel
import StoreErrors
import SuffixIndex

/// The file that holds a corpus's history, and the view of it from which drafts are answered.
///
/// The history in memory and its file change together: a new view is installed, or the whole file is
/// replaced, from one exact history to the next.
final class StoredHistory: Sendable {
  let corpus: CorpusName
  let history: SharedHistory
  private let clock: StoreClock
  private let state: Locked<State>

  private struct State {
    var file: CorpusFile
    /// nil once the history is closed.
    var view: SegmentView?
    /// The number of calls of `read` under way.
    var readings = 0
    /// The next segment number. Numbers are never used again, so that chunks left by a crash are
    /// never taken for those of another segment.
    var nextSegment: UInt64
    var ages: CommitAges
    /// Sentences on damage that was found when the file was loaded.
    var damage: [String]

    init(_ file: CorpusFile, _ loaded: borrowing LoadedCorpus, _ clock: StoreClock) {
      self.file = file
      view = loaded.view
      nextSegment = loaded.nextSegment
      ages = CommitAges(nextOrder: loaded.nextOrder, clock: clock)
      damage = loaded.damage
    }
  }

  init(
    of corpus: CorpusName, in file: CorpusFile, _ loaded: consuming sending LoadedCorpus,
    keeper: any HistoryKeeper, clock: StoreClock
  ) {
    self.corpus = corpus
    self.clock = clock
    state = Locked(State(file, loaded, clock))
    history = SharedHistory(
      of: corpus, file.settings, loaded.live, keeper: keeper)
  }

  /// The file. It is replaced only while the writer is paused, by a thread that holds all exclusive
  /// sections, so the holder of any one of them, and the writer, may rely on it.
  var file: CorpusFile { state.withLock { $0.file } }

  /// The file, for questions to the system; nil once it is closed. It may be closed at any moment, and
  /// a closed file answers nothing.
  var fileUnlessClosed: CorpusFile? { state.withLock { $0.view == nil ? nil : $0.file } }

  /// The segments in service. The file is not closed before the caller has released them, so the caller
  /// holds an exclusive section or is the writer.
  ///
  /// - Throws: `closed`.
  func view() throws(StoreError) -> SegmentView {
    guard let view = (state.withLock { $0.view }) else { throw .closed(corpus: corpus) }
    return view
  }

  /// Reads the file at the present moment, on a thread that may wait for the disk. Closing and replacing
  /// the file wait until the reading has ended, so it must be short.
  ///
  /// - Throws: `closed`.
  func read<Value>(
    _ body: (CorpusFile, borrowing ReadTransaction) throws(StoreError) -> Value
  ) throws(StoreError) -> Value {
    let file = try state.withLock { (state) throws(StoreError) in
      if state.view == nil { throw .closed(corpus: corpus) }
      state.readings += 1
      return state.file
    }
    defer { state.wakeAll(after: { $0.readings -= 1 }) }
    return try Self.read(file, body)
  }

  /// The transaction has ended when this returns.
  private static func read<Value>(
    _ file: CorpusFile,
    _ body: (CorpusFile, borrowing ReadTransaction) throws(StoreError) -> Value
  ) throws(StoreError) -> Value {
    let transaction = try file.beginReading()
    return try body(file, transaction)
  }

  /// The records of the segments in service.
  var segmentRecords: [SegmentRecord] { state.withLock { $0.view?.segments.map(\.record) ?? [] } }

  /// Sentences on damage that was found when the file was loaded.
  var damage: [String] { state.withLock { $0.damage } }

  func takeSegmentNumber() -> UInt64 {
    state.withLock { state in
      state.nextSegment += 1
      return state.nextSegment - 1
    }
  }

  // MARK: Views

  /// Reads the same segments at the present moment, so that no page freed before is kept in use. Runs
  /// on the writer thread.
  func renewView() {
    // If no reader slot is free, the current view stays in use.
    guard let old = try? view(), let transaction = try? file.beginReading() else { return }
    let new = SegmentView(transaction, old.segments, of: old.file)
    history.renew(new)
    state.withLock { $0.view = new }
  }

  /// Replaces the view by one with new segments in place of others and of a part. Runs on the writer
  /// thread, which is paused while the file is replaced.
  func install(
    _ new: [UInt64], replacing old: [UInt64], retiring part: GrowingPart.ID?
  ) throws(StoreError) {
    let view = try view()
    guard let mark = history.damageMark else { throw .closed(corpus: corpus) }
    let file = file
    let transaction = try file.beginReading()
    var segments = view.segments.filter { !old.contains($0.number) }
    for number in new { segments.append(try file.segment(number, transaction, mark: mark)) }
    segments.sort { $0.number < $1.number }
    let newView = SegmentView(transaction, segments, of: file)
    history.install(newView, retiring: part)
    state.withLock { $0.view = newView }
  }

  // MARK: Ages

  /// Ages of the sequences.
  var ages: CommitAges { state.withLock { $0.ages } }

  /// Notes the time of the wall clock before it stamps sequences from `nextOrder` on.
  func noteWallClock(seconds: UInt64, nextOrder: UInt64) {
    if file.settings.retention.ageSeconds == nil { return }
    let now = clock.now()
    state.withLock { $0.ages.note(wallSeconds: seconds, at: now, nextOrder: nextOrder) }
  }

  // MARK: Life

  /// Replaces the file and the history in memory. The caller holds all exclusive sections, and the
  /// writer is paused.
  ///
  /// - Returns: The sessions whose output was in the old history.
  func replace(
    by new: CorpusFile, _ loaded: consuming sending LoadedCorpus
  ) -> [DecodingSession] {
    let next = State(new, loaded, clock)
    let sessions = history.replace(with: loaded.live)
    let old = state.wait { (state) -> Wait<CorpusFile> in
      if state.readings > 0 { return .sleep() }
      let old = state.file
      state = next
      return .done(old)
    }
    if old !== new { old.environment.close() }
    return sessions
  }

  /// Makes all calls fail with `closed`, and closes the file. The caller holds all exclusive sections,
  /// and the writer has ended.
  func close() {
    history.close()
    // Its read transaction ends with the view.
    state.wait { (state) -> Wait<Void> in
      if state.readings > 0 { return .sleep() }
      state.view = nil
      return .done(())
    }
    file.environment.close()
  }
}
