import TestSupport

/// The possible contents of a store, derived from the calls that it was sent and the answers that
/// came.
///
/// Calls of several connections overlap, so for some sequences only bounds are known: a sequence
/// whose insert overlapped a restore may have come before it and be gone, or after it and be there.
/// Calls without an answer remain open here, and `Judge` requires that each of them happened
/// completely or not at all.
struct Expectation: Codable {
  /// The number of times that each sequence may be in a corpus; never for unlisted ones.
  typealias Contents = [Int32: ClosedRange<Int>]

  struct Snapshot: Codable {
    var contents: Contents
    /// True if it must be there.
    var isCertain = true
  }

  var corpora: [String: Contents] = [:]
  /// The possible histories of corpora with a bound, oldest sequence first: one history, doubled by
  /// each call without an answer. Only one connection writes to these, so the order of the calls is
  /// known.
  var kept: [String: [[Int32]]] = [:]
  var snapshots: [String: Snapshot] = [:]
  /// Calls without an answer.
  private(set) var open: [Call] = []
  /// Calls that were answered and not refused, in the order of their answers.
  private(set) var answered: [Call] = []
  private var calls: [Call] { answered + open }

  /// The expectation of an empty store.
  init() {}

  /// Derives the expectation from calls.
  ///
  /// - Parameters:
  ///   - base: The content before all calls.
  ///   - position: The number of file changes that happened; calls that were sent later are
  ///     ignored, and calls that were answered later count as unanswered.
  init(
    _ record: Ledger.Record, after base: Expectation, position: Int = .max, _ setting: LoadSetting
  ) {
    self = base
    open = []
    answered = []
    for var call in record.calls where call.sent.position < position && !call.isRefused {
      if let moment = call.answered, moment.position > position { call.answered = nil }
      if call.answered == nil { open.append(call) } else { answered.append(call) }
    }
    answered.sort { $0.answered!.clock < $1.answered!.clock }
    for call in answered { apply(call, record.sequences, setting) }
    for call in calls.sorted(by: { $0.sent.clock < $1.sent.clock }) {
      keep(call, record.sequences, setting)
    }
  }

  /// The expectation if an open call has happened.
  func with(_ call: Call, _ record: Ledger.Record, _ setting: LoadSetting) -> Expectation {
    var other = self
    // As if it were answered last, so that it overlaps all calls after its sending.
    var call = call
    call.answered = Call.Moment(clock: .max, position: .max, nanoseconds: .max)
    other.apply(call, record.sequences, setting)
    return other
  }

  private mutating func apply(
    _ call: Call, _ sequences: [Int32: Sequence], _ setting: LoadSetting
  ) {
    switch call.effect {
    case .create(let corpus):
      if setting.corpora[corpus]?.retention != nil {
        if kept[corpus] == nil { kept[corpus] = [[]] }
      } else if corpora[corpus] == nil {
        corpora[corpus] = [:]
      }
    case .drop(let corpus): corpora[corpus] = nil
    case .add(let corpus, let tags):
      if setting.corpora[corpus]?.retention != nil { return }
      let blurred = calls.contains { $0.replaces(corpus) && $0.wasAnsweredDuring(call) }
      for tag in tags {
        let before = corpora[corpus]?[tag] ?? 0...0
        corpora[corpus]?[tag] = blurred ? before.joined(with: 1...1) : 1...1
      }
    case .forget(let corpus, let tags):
      if setting.corpora[corpus]?.retention != nil { return }
      let blurred = calls.contains {
        ($0.replaces(corpus) || $0.mergesInto(corpus)) && $0.wasAnsweredDuring(call)
      }
      for tag in tags {
        let before = corpora[corpus]?[tag] ?? 0...0
        corpora[corpus]?[tag] = blurred ? before.joined(with: 0...0) : 0...0
      }
    case .createSnapshot(let corpus, let name):
      snapshots[name] = Snapshot(contents: contents(of: corpus, during: call))
    case .deleteSnapshot(let name): snapshots[name] = nil
    case .restore(let name, let corpus):
      guard let snapshot = snapshots[name] else { return }
      let old = corpora[corpus] ?? [:]
      var new = snapshot.contents
      // Calls that were answered during the restore may have come after it.
      for other in calls where other.overlaps(call) {
        guard let (target, tags) = other.touched, target == corpus else { continue }
        for tag in tags {
          new[tag] = (new[tag] ?? 0...0).joined(with: old[tag] ?? 0...0)
        }
      }
      corpora[corpus] = new
    case .merge(let from, let into):
      guard corpora[into] != nil else { return }
      for (tag, times) in contents(of: from, during: call) where times != 0...0 {
        let before = corpora[into]?[tag] ?? 0...0
        var after: ClosedRange<Int>
        if sequences[tag]?.id == nil {
          after =
            (before.lowerBound + times.lowerBound)...(before.upperBound + times.upperBound)
        } else {
          after =
            max(
              before.lowerBound, min(1, times.lowerBound))...max(
              before.upperBound, min(1, times.upperBound))
        }
        let forgotten = calls.contains { other in
          guard case .forget(into, let tags) = other.effect else { return false }
          return tags.contains(tag) && other.overlaps(call)
        }
        if forgotten { after = after.joined(with: before).joined(with: 0...0) }
        corpora[into]?[tag] = after
      }
    }
  }

  /// Applies a call to a corpus with a bound.
  private mutating func keep(
    _ call: Call, _ sequences: [Int32: Sequence], _ setting: LoadSetting
  ) {
    guard let (corpus, tags) = call.touched, let rule = setting.corpora[corpus]?.retention,
      let before = kept[corpus]
    else { return }
    func size(_ tag: Int32) -> Int { sequences[tag]?.text.count ?? 0 }
    var after: [[Int32]] = []
    var between: [[Int32]] = []
    for history in before {
      if case .forget = call.effect {
        after.append(history.filter { !tags.contains($0) })
      } else {
        after.append(rule.keeping(history, adding: tags, size))
        between += rule.makingRoom(in: history, for: tags, size)
      }
    }
    // The removal comes first. An interrupted call may have removed sequences and added none.
    kept[corpus] = call.answered == nil ? Array(Set(before + between + after)) : after
  }

  /// The content of a corpus, if it is certain.
  func certain(_ corpus: String) -> [Int32]? {
    if let histories = kept[corpus] { return histories.count == 1 ? histories[0] : nil }
    guard let contents = corpora[corpus], contents.values.allSatisfy({ $0.count == 1 }),
      !open.contains(where: { $0.isWide || $0.touched?.corpus == corpus })
    else { return nil }
    return contents.flatMap { tag, times in Array(repeating: tag, count: times.lowerBound) }
  }

  /// The possible content for a call that reads a corpus: overlapping calls may have come before or
  /// after.
  private func contents(of corpus: String, during call: Call) -> Contents {
    var contents = corpora[corpus] ?? [:]
    for other in calls where other.overlaps(call) {
      guard let (target, tags) = other.touched, target == corpus else { continue }
      for tag in tags { contents[tag] = (contents[tag] ?? 0...0).joined(with: 0...1) }
    }
    return contents
  }
}

extension Call {
  /// True if neither call was answered before the other was sent.
  func overlaps(_ other: Call) -> Bool {
    if sent.clock == other.sent.clock { return false }
    return sent.clock < (other.answered?.clock ?? .max)
      && other.sent.clock < (answered?.clock ?? .max)
  }

  /// True if it overlaps another call and was answered first.
  func wasAnsweredDuring(_ other: Call) -> Bool {
    overlaps(other) && (answered?.clock ?? .max) < (other.answered?.clock ?? .max)
  }

  /// True if it changes a corpus or a snapshot as a whole.
  var isWide: Bool { touched == nil }

  func replaces(_ corpus: String) -> Bool {
    if case .restore(_, corpus) = effect { return true }
    return false
  }

  func mergesInto(_ corpus: String) -> Bool {
    if case .merge(_, corpus) = effect { return true }
    return false
  }

  var touched: (corpus: String, tags: [Int32])? { effect.touched }
}

extension Call.Effect {
  /// The sequences that the call adds or removes one by one.
  var touched: (corpus: String, tags: [Int32])? {
    switch self {
    case .add(let corpus, let tags), .forget(let corpus, let tags): (corpus, tags)
    default: nil
    }
  }
}

extension ClosedRange<Int> {
  /// The smallest range that contains both.
  func joined(with other: ClosedRange<Int>) -> ClosedRange<Int> {
    Swift.min(lowerBound, other.lowerBound)...Swift.max(upperBound, other.upperBound)
  }
}
