import CorpusFormat
import Foundation
import HistoryEngine
import RepriseModel
import StoreErrors
import TestSupport
import Testing

@testable import CorpusStore

/// A small store that holds a corpus alone, or a snapshot alone, and whose file is damaged
/// repeatedly. It knows the written content, and so the allowed outcomes of damage.
///
/// If the damage ends the process, the file is left in the temporary directory.
final class DamagedStore {
  enum Kind: CaseIterable {
    case corpus, snapshot
    /// A snapshot whose digest and checksum are forged after the damage.
    case signedSnapshot
  }

  /// The outcome of damaging a file.
  enum Outcome: String { case refused, repaired, same }

  let kind: Kind
  /// The bytes to be damaged, as they were written: the file, or all but the manifest if that is
  /// signed.
  private(set) var bytes: [UInt8] = []
  /// The number of times that each outcome occurred.
  private(set) var outcomes: [Outcome: Int] = [:]

  private var manifest: SnapshotManifest?
  private let directory = TemporaryDirectory()
  private var contents: [UInt64: NewSequence] = [:]

  /// Creates a corpus with segments, a log, ids, groups and free pages. The last transaction has
  /// added to it, so that the state before is a different one.
  ///
  /// - Parameter isMinimal: True for one segment instead of two, and six sequences instead of 24;
  ///   unused bytes are zero, except those that the last transaction has freed.
  init(_ kind: Kind, isMinimal: Bool = false) throws {
    self.kind = kind
    let store = try Store(path: directory.path, options: .tiny())
    let corpus = try store.createCorpus(named: "c", CorpusSettings(depth: 6))
    var generator = SeededGenerator(seed: 7)
    for number in 0..<(isMinimal ? 6 : 24) {
      let sequence = NewSequence(
        id: number % 3 == 0 ? nil : "\(number)", group: number % 5 == 4 ? "g" : nil,
        prompt: generator.tokens(count: number % 7, alphabet: 9),
        tokens: generator.tokens(count: 3 + number, alphabet: 9))
      let order = try #require(try corpus.insert([sequence]).lastOrder)
      contents[order] = sequence
      if (isMinimal ? [1] : [11, 17]).contains(number) { try corpus.compact() }
      if isMinimal && number == 4 { _ = try corpus.forget(ids: []) }
    }
    if kind != .corpus {
      _ = try store.createSnapshot(ofCorpus: "c", named: "s")
      _ = try store.dropCorpus(named: "c")
    }
    store.close()
    bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    if kind == .signedSnapshot {
      let last = Array(bytes.suffix(SnapshotManifest.byteCount))
      manifest = try SnapshotManifest(last, fileBytes: bytes.count)
      bytes.removeLast(SnapshotManifest.byteCount)
    }
  }

  private var path: String {
    switch kind {
    case .corpus: "\(directory.path)/corpora/c/data.mdb"
    case .snapshot, .signedSnapshot: "\(directory.path)/snapshots/s.snapshot"
    }
  }

  /// A text such as "corpus: 3 refused, 4 same".
  var summary: String {
    let counts = outcomes.sorted { $0.key.rawValue < $1.key.rawValue }
    return "\(kind): " + counts.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
  }

  // MARK: Trying

  /// Writes damaged bytes to the file, has them checked, and opens them.
  ///
  /// They must be refused, with the place of the damage named; or be repaired, with a report; or
  /// answer like the original, and only then may the check have found nothing. A digest lets no
  /// change pass, and a file that is only read is not repaired.
  func open(_ damaged: [UInt8], _ label: String, _ generator: inout SeededGenerator) {
    let label = "\(kind), \(label)"
    do {
      try Data(damaged + signature(of: damaged)).write(to: URL(fileURLWithPath: path))
      let report = try StoreInspection.check(path: directory.path, deep: true)
      let outcome = try outcome(label, &generator)
      outcomes[outcome, default: 0] += 1
      #expect(report.isClean == (outcome == .same), "\(label), \(outcome), checked: \(report)")
      #expect(outcome != .same || kind != .snapshot || damaged == bytes, "\(label)")
      #expect(outcome != .repaired || kind == .corpus, "\(label)")
    } catch {
      Issue.record("\(label): \(error)")
    }
  }

  private func signature(of environment: [UInt8]) -> [UInt8] {
    guard var manifest else { return [] }
    let digest = StreamingDigest()
    digest.append(environment.rawSpan)
    manifest.environmentBytes = environment.count
    manifest.digest = digest.value
    return manifest.encoded()
  }

  private func outcome(_ label: String, _ generator: inout SeededGenerator) throws -> Outcome {
    let store: Store
    do throws(StoreError) {
      store =
        switch kind {
        case .corpus: try Store(path: directory.path, options: .tiny())
        case .snapshot, .signedSnapshot: try Store(snapshot: path)
        }
    } catch {
      #expect(namesPlace(error), "\(label): \(error)")
      return .refused
    }
    defer { store.close() }
    let corpus: Corpus?
    do throws(StoreError) {
      corpus = try store.corpus(named: "c")
    } catch {
      #expect(namesPlace(error), "\(label): \(error)")
      return .refused
    }
    return try examine(try #require(corpus, "\(label): no corpus"), label, &generator)
  }

  /// True if an error names the damage, and the file.
  private func namesPlace(_ error: StoreError) -> Bool {
    switch error {
    case .corrupt(let what, let place): !what.isEmpty && place.contains(directory.path)
    case .snapshotDamaged(let snapshot, let reason): snapshot == path && !reason.isEmpty
    case .formatVersion(let place, let found, let expected):
      place.hasPrefix(directory.path) && found != expected
    default: false
    }
  }

  /// Examines a corpus that was opened over a damaged file.
  private func examine(
    _ corpus: Corpus, _ label: String, _ generator: inout SeededGenerator
  ) throws -> Outcome {
    let damage = corpus.stats().damage
    var whole: [UInt64: [Int32]] = [:]
    try corpus.forEachSequence { sequence in
      let (order, known) = (sequence.order, contents[sequence.order])
      #expect(
        known?.id == sequence.id && known?.tokens == sequence.output
          && known?.prompt == sequence.leadIn, "\(label): sequence \(order)")
      #expect(
        whole.updateValue(sequence.text, forKey: order) == nil, "\(label): twice sequence \(order)")
      return true
    }
    if damage.isEmpty {
      #expect(whole.count == contents.count, "\(label): \(whole.count), and no word of it")
    }
    let grouped = contents.filter { $0.value.group != nil }.keys.sorted()
    let outputs = try corpus.group(named: "g").group.outputs
    #expect(
      damage.isEmpty
        ? outputs == grouped.map { whole[$0] } : outputs.allSatisfy(whole.values.contains),
      "\(label): group")
    let oracle = NGramOracle(depth: 6, sequences: Array(whole.values))
    var (scratch, draft) = (DraftScratch(), Draft())
    for tree in [false, true] {
      let context = generator.tokens(count: 5, alphabet: 9)
      try corpus.speculate(
        context.span, DraftOptions(tree: tree), using: &scratch, into: &draft)
      var naive = NaiveDrafter()
      naive.tree = tree
      let expected = naive.draft(from: oracle, context: context)
      #expect(draft.tokens == expected.tokens && draft.counts == expected.counts, "\(label)")
    }
    if !corpus.isReadOnly { try examineIDs(corpus, Set(whole.keys), label) }
    return damage.isEmpty ? .same : .repaired
  }

  /// Checks that an id is known exactly if its sequence exists.
  private func examineIDs(_ corpus: Corpus, _ whole: Set<UInt64>, _ label: String) throws {
    for isWhole in [true, false] {
      let candidates = contents.filter { $0.value.id != nil && whole.contains($0.key) == isWhole }
      guard let (_, sequence) = candidates.min(by: { $0.key < $1.key }) else { continue }
      let receipt = try corpus.insert([sequence])
      #expect(
        receipt.duplicates == (isWhole ? 1 : 0) && receipt.inserted == (isWhole ? 0 : 1),
        "\(label): id \(sequence.id ?? "")")
    }
    #expect(try corpus.insert([NewSequence(id: "new", tokens: [1])]).inserted == 1, "\(label)")
  }
}
