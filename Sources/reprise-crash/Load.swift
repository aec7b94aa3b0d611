import Concurrency
import Foundation
import Synchronization
import TestSupport

/// A seeded random load over several connections. All calls and answers are written into a ledger.
/// Each connection waits for an answer before its next call, so at most one of its calls is open
/// when the service ends.
final class Load: Sendable {
  let ledger: Ledger
  let setting: LoadSetting
  private let socket: String
  private let seed: UInt64
  private let tolerated = Locked(Tolerance())
  private let isStopping = Atomic(false)

  /// The kinds of errors that are allowed as answers, because some operation is made to fail.
  struct Tolerance {
    /// Answers to inserts and to the end of a session, which need room on the disk but no file.
    var narrow: Set<String> = []
    /// Answers to all other calls.
    var wide: Set<String> = []
  }

  var tolerance: Tolerance {
    get { tolerated.withLock { $0 } }
    set { tolerated.withLock { $0 = newValue } }
  }

  init(socket: String, ledger: Ledger, setting: LoadSetting, seed: UInt64) {
    self.socket = socket
    self.ledger = ledger
    self.setting = setting
    self.seed = seed
  }

  /// Makes all connections end after their current calls.
  func stop() { isStopping.store(true, ordering: .relaxed) }
  var mustStop: Bool { isStopping.load(ordering: .relaxed) }

  /// Creates the corpora that always exist. Returns true if the service answered.
  func prepare() -> Bool {
    guard let client = LoadClient(self, socket, number: 0, seed: seed) else { return false }
    return client.createCorpora()
  }

  /// Runs all connections until the service ends or `stop` is called.
  ///
  /// - Parameter base: The content of the store before.
  func run(over base: Expectation) {
    let group = DispatchGroup()
    for number in 0...setting.writers {
      group.enter()
      Thread.detachNewThread { [self] in
        defer { group.leave() }
        let seed = seed &* 31 &+ UInt64(number)
        guard let client = LoadClient(self, socket, number: number, seed: seed) else { return }
        client.recall(base)
        client.run()
      }
    }
    group.wait()
  }
}

/// One connection of the load. The last one alone takes snapshots, restores and merges.
final class LoadClient {
  private let load: Load
  private let ledger: Ledger
  private let number: Int
  private let connection: LineConnection
  private var generator: SeededGenerator
  /// True if the service ended, or has not answered.
  private(set) var isLost = false
  /// Sequences with an id that this connection has inserted and not forgotten, by corpus, including
  /// those that a restore has removed.
  private var mine: [String: [Sequence]] = [:]
  private var forgotten: [String: [Sequence]] = [:]
  private var snapshots: [String] = []
  private var hasCopy = false
  /// The number of wide calls whose outcome is unknown.
  private var openWide = 0

  /// Each unknown outcome doubles the number of possible contents.
  private static let openWideMax = 4

  private var isController: Bool { number == load.setting.writers }
  private var setting: LoadSetting { load.setting }

  init?(_ load: Load, _ socket: String, number: Int, seed: UInt64) {
    guard let connection = LineConnection.open(socket) else { return nil }
    self.load = load
    ledger = load.ledger
    self.number = number
    self.connection = connection
    generator = SeededGenerator(seed: seed)
  }

  /// The corpora that this connection writes to.
  private var corpora: [String] {
    // Only one connection writes to the bounded corpus.
    number == 0
      ? [LoadSetting.kept, LoadSetting.kept, LoadSetting.shared]
      : [LoadSetting.shared, LoadSetting.shared, LoadSetting.other, LoadSetting.lazy]
  }

  /// Continues from existing content: its own sequences, and the snapshots.
  func recall(_ base: Expectation) {
    let known = ledger.record.sequences
    let prefix = "\(number)-"
    for (corpus, contents) in base.corpora {
      mine[corpus] = contents.keys.sorted().compactMap { known[$0] }
        .filter { $0.id?.hasPrefix(prefix) ?? false }
    }
    for (corpus, histories) in base.kept {
      mine[corpus] = (histories.first ?? []).compactMap { known[$0] }.filter {
        $0.id?.hasPrefix(prefix) ?? false
      }
    }
    snapshots = base.snapshots.keys.sorted()
    hasCopy = base.corpora[LoadSetting.copy] != nil
  }

  /// Continues from the knowledge of another connection to an earlier process.
  func recall(_ other: LoadClient) {
    mine = other.mine
    forgotten = other.forgotten
    snapshots = other.snapshots
    hasCopy = other.hasCopy
    openWide = other.openWide
  }

  func run() {
    while !isLost && !load.mustStop { step() }
  }

  func step() {
    if isController && openWide < Self.openWideMax {
      switch random(0..<10) {
      case 0..<3: createSnapshot()
      case 3..<4: deleteSnapshot()
      case 4..<6: restore()
      case 6..<7: merge()
      default: insert()
      }
    } else {
      switch random(0..<20) {
      case 0..<12: insert()
      case 12..<16: decode()
      case 16..<18: forget()
      default: speculate()
      }
    }
  }

  private func random(_ range: Range<Int>) -> Int { Int.random(in: range, using: &generator) }

  // MARK: Calls

  /// Sends a call and notes its outcome. Returns the result, or nil.
  ///
  /// - Parameters:
  ///   - effect: The change that it makes; nil for a call that changes nothing.
  ///   - allowed: Kinds of errors that are allowed as the answer.
  @discardableResult
  private func call(
    _ method: String, _ params: String, _ effect: Call.Effect? = nil, new: [Sequence] = [],
    allowed: Set<String> = []
  ) -> [String: Any]? {
    guard !isLost, ledger.isKnown(method) else { return nil }
    let call = effect.map { ledger.willSend($0, new) }
    switch connection.call(method, params) {
    case .lost: isLost = true
    case .result(let result):
      let order = result["last_order"] as? UInt64 ?? result["order"] as? UInt64
      if let call { ledger.wasAnswered(call, lastOrder: order) } else { ledger.didHear() }
      return result
    case .refused(let kind, let message):
      if kind == "method_not_found" {
        ledger.isUnknown(method)
      } else if !allowed.contains(kind) {
        let tolerance = load.tolerance
        let isNarrow = ["sequence.insert", "session.close"].contains(method)
        if (isNarrow ? tolerance.narrow : tolerance.wide).contains(kind) {
          ledger.wasRefused(kind, corpus: effect?.touched?.corpus)
        } else {
          ledger.complain("\(method) {\(params.prefix(200))} was answered \(kind): \(message)")
        }
        if kind == "internal_error" && effect?.touched == nil { openWide += 1 }
      }
      // After these errors the caller cannot know the outcome, nor after a failed removal, which
      // may be done in part.
      if ["internal_error", "corrupt"].contains(kind) || method == "sequence.forget" {
        ledger.didHear()
      } else if let call {
        ledger.wasAnswered(call, isRefused: true)
      } else {
        ledger.didHear()
      }
    }
    return nil
  }

  func createCorpora() -> Bool {
    let depth = setting.depth
    for (corpus, plan) in setting.corpora.sorted(by: { $0.key < $1.key })
    where corpus != LoadSetting.copy {
      var params = #""corpus":"\#(corpus)","depth":\#(depth)"#
      if let rule = plan.retention {
        let bounds = [("tokens", rule.tokens), ("sequences", rule.sequences)]
          .compactMap { name, bound in bound.map { #""\#(name)":\#($0)"# } }
        params += #","retention":{\#(bounds.joined(separator: ","))}"#
      }
      if let millis = plan.intervalMillis {
        params += #","durability":"interval","durability_ms":\#(millis)"#
      }
      call("corpus.create", params, .create(corpus: corpus))
      if isLost { return false }
    }
    return true
  }

  private func newSequence(withID: Bool) -> Sequence {
    let tag = ledger.newTag()
    // Some are too long for a page of the database.
    let length = random(0..<20) == 0 ? random(500..<900) : random(0..<40)
    return Sequence(
      id: withID ? "\(number)-\(tag)" : nil,
      prompt: generator.tokens(count: random(0..<20), alphabet: LoadSetting.alphabet),
      output: [tag] + generator.tokens(count: length, alphabet: LoadSetting.alphabet))
  }

  private func insert() {
    let corpus = corpora.randomElement(using: &generator)!
    var sequences: [Sequence] = []
    for _ in 0...random(0..<4) {
      switch random(0..<20) {
      case 0..<2:
        // The same tokens again: of an existing sequence, or of one that was forgotten.
        if let known = mine[corpus]?.randomElement(using: &generator) { sequences.append(known) }
      case 2:
        if let known = forgotten[corpus]?.randomElement(using: &generator) {
          sequences.append(known)
        }
      case 3: if let last = sequences.last, last.id != nil { sequences.append(last) }
      default: sequences.append(newSequence(withID: random(0..<5) > 0))
      }
    }
    if sequences.isEmpty { sequences = [newSequence(withID: true)] }
    if random(0..<30) == 0 { return conflict(corpus, sequences) }
    let size = sequences.reduce(0) { $0 + $1.text.count }
    if let tokens = setting.corpora[corpus]?.retention?.tokens, size > tokens { return }
    let result = call(
      "sequence.insert", Self.params(corpus, sequences),
      .add(corpus: corpus, tags: sequences.map(\.tag)), new: sequences)
    guard let result else { return }
    let inserted = result["inserted"] as? Int ?? -1
    let duplicates = result["duplicates"] as? Int ?? -1
    if inserted + duplicates != sequences.count {
      ledger.complain("an insert of \(sequences.count) sequences was answered \(result)")
    }
    for sequence in sequences where sequence.id != nil {
      forgotten[corpus]?.removeAll { $0.tag == sequence.tag }
      if mine[corpus]?.contains(sequence) != true { mine[corpus, default: []].append(sequence) }
    }
  }

  /// An insert with an id that belongs to other tokens: it must change nothing. Only if the id is
  /// certain to be there.
  private func conflict(_ corpus: String, _ sequences: [Sequence]) {
    guard [LoadSetting.other, LoadSetting.lazy].contains(corpus),
      let known = mine[corpus]?.randomElement(using: &generator)
    else { return }
    let new =
      sequences.filter { $0.id?.hasPrefix("\(number)-") ?? true } + [newSequence(withID: false)]
    var other = new[new.count - 1]
    other.id = known.id
    let result = call(
      "sequence.insert", Self.params(corpus, new + [other]), nil, allowed: ["conflict"])
    if let result { ledger.complain("a conflict of \(known.id ?? "") was answered \(result)") }
  }

  private static func params(_ corpus: String, _ sequences: [Sequence]) -> String {
    let texts = sequences.map { sequence in
      let id = sequence.id.map { #""id":"\#($0)","# } ?? ""
      return "{\(id)\"prompt\":\(json(sequence.prompt)),\"tokens\":\(json(sequence.output))}"
    }
    return #""corpus":"\#(corpus)","sequences":[\#(texts.joined(separator: ","))]"#
  }

  private static func json(_ tokens: [Int32]) -> String {
    "[" + tokens.map { "\($0)" }.joined(separator: ",") + "]"
  }

  /// A session from its beginning to its end.
  private func decode() {
    let corpus = corpora.randomElement(using: &generator)!
    let share = ["live", "live", "close", "never"].randomElement(using: &generator)!
    let sequence = newSequence(withID: false)
    guard
      let session = call(
        "session.open",
        #""corpus":"\#(corpus)","prompt":\#(Self.json(sequence.prompt)),"share":"\#(share)""#)?[
          "session"]
        as? String
    else { return }
    let output = sequence.output
    var start = 0
    while start < output.count {
      let end = min(output.count, start + 1 + random(0..<40))
      let accepted = Self.json(Array(output[start..<end]))
      call("session.step", #""steps":[{"session":"\#(session)","accept":\#(accepted)}]"#)
      start = end
    }
    let records = random(0..<4) > 0
    let effect: Call.Effect? =
      records && share != "never" ? .add(corpus: corpus, tags: [sequence.tag]) : nil
    let closed = call(
      "session.close", #""session":"\#(session)","record":\#(records)"#, effect, new: [sequence])
    // An output that could not be recorded leaves the history when the session ends without
    // recording.
    if closed == nil { call("session.close", #""session":"\#(session)","record":false"#) }
  }

  private func forget() {
    let corpus = corpora.randomElement(using: &generator)!
    guard let known = mine[corpus], !known.isEmpty else { return }
    let chosen = Set((0...random(0..<3)).map { _ in random(0..<known.count) }).map { known[$0] }
    let ids = chosen.map { "\"\($0.id ?? "")\"" }.joined(separator: ",")
    let result = call(
      "sequence.forget", #""corpus":"\#(corpus)","ids":[\#(ids)]"#,
      .forget(corpus: corpus, tags: chosen.map(\.tag)))
    guard result != nil else { return }
    mine[corpus]?.removeAll { chosen.contains($0) }
    forgotten[corpus, default: []] += chosen
  }

  private func speculate() {
    let context = generator.tokens(count: 6, alphabet: LoadSetting.alphabet)
    let corpus = corpora.randomElement(using: &generator)!
    call("speculate", #""corpus":"\#(corpus)","context":\#(Self.json(context))"#)
  }

  // MARK: Changes of a whole corpus

  private func createSnapshot() {
    if snapshots.count > 4 { return deleteSnapshot() }
    let name = "s\(ledger.newTag())"
    let result = call(
      "snapshot.create", #""corpus":"shared","name":"\#(name)""#,
      .createSnapshot(corpus: LoadSetting.shared, name: name))
    if result != nil { snapshots.append(name) }
  }

  private func deleteSnapshot() {
    guard let name = snapshots.randomElement(using: &generator) else { return }
    let result = call("snapshot.delete", #""snapshot":"\#(name)""#, .deleteSnapshot(name: name))
    if result != nil { snapshots.removeAll { $0 == name } }
  }

  private func restore() {
    guard let name = snapshots.randomElement(using: &generator) else { return }
    // A call that failed may have happened all the same.
    let isUncertain = openWide > 0
    if hasCopy {
      let result = call(
        "corpus.drop", #""corpus":"copy","confirm":"copy""#, .drop(corpus: LoadSetting.copy),
        allowed: isUncertain ? ["corpus_not_found"] : [])
      if result != nil || isUncertain { hasCopy = false }
    } else if random(0..<2) == 0 {
      let result = call(
        "snapshot.restore", #""snapshot":"\#(name)","corpus":"copy","replace":false"#,
        .restore(name: name, corpus: LoadSetting.copy),
        allowed: isUncertain ? ["corpus_exists"] : [])
      if result != nil || isUncertain { hasCopy = true }
    } else {
      call(
        "snapshot.restore", #""snapshot":"\#(name)","corpus":"shared","replace":true"#,
        .restore(name: name, corpus: LoadSetting.shared))
    }
  }

  private func merge() {
    call(
      "corpus.merge", #""from":"other","into":"shared""#,
      .merge(from: LoadSetting.other, into: LoadSetting.shared))
  }
}
