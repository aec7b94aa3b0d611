import Drafting
import Foundation
import Oracle
import Testing

@testable import CorpusStore

/// Files of any bytes: a store or a snapshot with some bytes changed is refused, or repaired and
/// says so, or is what it was. Nothing traps, hangs, or answers from what was never written.
///
/// `REPRISE_MUTATIONS` tells how many files of each kind are tried, `REPRISE_MUTATION_SEED` which.
@Suite struct MutationTests {
  private static let count = setting("REPRISE_MUTATIONS") ?? 300
  private static let seed = UInt64(setting("REPRISE_MUTATION_SEED") ?? 1)

  private static func setting(_ name: String) -> Int? {
    ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
  }

  /// A small store with two segments, a log, ids and a snapshot; and what is in it.
  private final class Original {
    let directory = TemporaryDirectory()
    private(set) var data: [UInt8] = []
    private(set) var snapshot: [UInt8] = []
    var contents: [UInt64: (id: String?, tokens: [Int32])] = [:]

    init() throws {
      let store = try Store(path: directory.path, options: .tiny())
      let corpus = try store.createCorpus(named: "c", CorpusSettings(depth: 6))
      var generator = SeededGenerator(seed: 7)
      for number in 0..<24 {
        let tokens = generator.tokens(count: 3 + number, alphabet: 9)
        try corpus.insert([NewSequence(id: number % 3 == 0 ? nil : "\(number)", tokens: tokens)])
        if number == 11 { try corpus.compact() }
        if number == 17 { try corpus.compact() }
      }
      try corpus.forEachSequence { order, id, tokens in
        contents[order] = (id, tokens)
        return true
      }
      _ = try store.createSnapshot(ofCorpus: "c", named: "s")
      store.close()
      data = [UInt8](try Data(contentsOf: URL(fileURLWithPath: dataPath)))
      snapshot = [UInt8](try Data(contentsOf: URL(fileURLWithPath: snapshotPath)))
    }

    var dataPath: String { "\(directory.path)/corpora/c/data.mdb" }
    var snapshotPath: String { "\(directory.path)/snapshots/s.snapshot" }
  }

  /// Changes some bytes, in one of the ways in which disks, cables and people do.
  private func mutate(_ bytes: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
    var bytes = bytes
    func place() -> Int { Int.random(in: 0..<bytes.count, using: &generator) }
    switch Int.random(in: 0..<10, using: &generator) {
    case 0..<4: bytes[place()] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
    case 4..<6:
      for _ in 0..<Int.random(in: 2...8, using: &generator) {
        bytes[place()] = UInt8.random(in: 0...255, using: &generator)
      }
    case 6:
      // A number set to an extreme.
      let start = min(place() & ~7, bytes.count - 8)
      let extremes: [UInt64] = [0, 1, .max, .max >> 1, 1 << 32, UInt64(UInt32.max)]
      let extreme = extremes.randomElement(using: &generator) ?? 0
      for byte in 0..<8 { bytes[start + byte] = UInt8(truncatingIfNeeded: extreme >> (8 * byte)) }
    case 7:
      // A page in the place of another, as it would be after a write to the wrong address.
      let pages = bytes.count / 4096
      let (from, to) = (
        Int.random(in: 0..<pages, using: &generator), Int.random(in: 0..<pages, using: &generator)
      )
      bytes.replaceSubrange(
        (to * 4096)..<((to + 1) * 4096), with: bytes[(from * 4096)..<((from + 1) * 4096)])
    case 8:
      // A sector that was never written.
      let start = place() & ~511
      for byte in start..<min(start + 512, bytes.count) { bytes[byte] = 0 }
    default: bytes.removeLast(bytes.count - place())
    }
    return bytes
  }

  /// What became of a mutated file.
  private enum Outcome: String { case refused, repaired, same }

  private static func text(_ outcomes: [Outcome: Int]) -> String {
    outcomes.map { "\($0.value) \($0.key.rawValue)" }.sorted().joined(separator: ", ")
  }

  /// Looks at a corpus that was opened over a mutated file.
  private func examine(
    _ corpus: Corpus, _ original: Original, _ generator: inout SeededGenerator, _ label: String
  ) throws -> Outcome {
    let damage = corpus.stats().damage
    var contents: [[Int32]] = []
    var seen = 0
    try corpus.forEachSequence { order, id, tokens in
      let known = original.contents[order]
      #expect(known?.id == id && known?.tokens == tokens, "\(label): sequence \(order)")
      contents.append(tokens)
      seen += 1
      return true
    }
    if damage.isEmpty {
      #expect(seen == original.contents.count, "\(label): \(seen) sequences, and no word of it")
    }
    let oracle = NGramOracle(depth: 6, sequences: contents)
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
    if !corpus.isReadOnly {
      // Ids are known exactly where their sequences are.
      let known = original.contents.values.first { $0.id != nil && contents.contains($0.tokens) }
      if let known {
        let receipt = try corpus.insert([NewSequence(id: known.id, tokens: known.tokens)])
        #expect(receipt.duplicates == 1, "\(label)")
      }
      #expect(try corpus.insert([NewSequence(id: "new", tokens: [1])]).inserted == 1, "\(label)")
    }
    return damage.isEmpty ? .same : .repaired
  }

  @Test func mutatedStoresAreRefusedOrRepaired() throws {
    let original = try Original()
    var outcomes: [Outcome: Int] = [:]
    for number in 0..<Self.count {
      let seed = Self.seed &* 1_000_003 &+ UInt64(number)
      var generator = SeededGenerator(seed: seed)
      let label = "store, REPRISE_MUTATION_SEED=\(Self.seed), file \(number)"
      let bytes = mutate(original.data, &generator)
      try Data(bytes).write(to: URL(fileURLWithPath: original.dataPath))
      let store = try Store(path: original.directory.path, options: .tiny())
      defer { store.close() }
      var outcome = Outcome.refused
      do throws(StoreError) {
        if let corpus = try store.corpus(named: "c") {
          do {
            outcome = try examine(corpus, original, &generator, label)
          } catch {
            Issue.record("\(label): \(error)")
          }
        }
      } catch {}
      outcomes[outcome, default: 0] += 1
    }
    print("\(Self.count) mutated stores: \(Self.text(outcomes))")
    #expect(outcomes[.refused, default: 0] > 0 && outcomes[.repaired, default: 0] > 0)
  }

  /// Every other one by a liar, who computes the digest and the manifest's checksum anew.
  @Test func mutatedSnapshotsAreRefused() throws {
    let original = try Original()
    let path = original.snapshotPath
    var outcomes: [Outcome: Int] = [:]
    for number in 0..<Self.count {
      let seed = Self.seed &* 1_000_033 &+ UInt64(number)
      var generator = SeededGenerator(seed: seed)
      let label = "snapshot, REPRISE_MUTATION_SEED=\(Self.seed), file \(number)"
      var bytes: [UInt8]
      if number % 2 == 0 {
        bytes = mutate(original.snapshot, &generator)
      } else {
        let environment = Array(original.snapshot.dropLast(SnapshotManifest.byteCount))
        bytes = mutate(environment, &generator)
        let digest = StreamingDigest()
        digest.append(bytes.rawSpan)
        var manifest = try SnapshotManifest(
          Array(original.snapshot.suffix(SnapshotManifest.byteCount)),
          fileBytes: original.snapshot.count)
        manifest.environmentBytes = bytes.count
        manifest.digest = digest.value
        bytes += manifest.encoded()
      }
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      var outcome = Outcome.refused
      do throws(StoreError) {
        let store = try Store(snapshot: path)
        defer { store.close() }
        if let corpus = try store.corpus(named: "c") {
          do {
            outcome = try examine(corpus, original, &generator, label)
          } catch {
            Issue.record("\(label): \(error)")
          }
        }
      } catch {}
      outcomes[outcome, default: 0] += 1
    }
    print("\(Self.count) mutated snapshots: \(Self.text(outcomes))")
    #expect(outcomes[.refused, default: 0] > 0)
  }
}
