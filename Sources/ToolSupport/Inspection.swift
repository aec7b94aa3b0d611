import CorpusStore
import Foundation
import RepriseModel

/// The content of a store's directory, as the product's own calls read it.
package struct Inspection {
  package var corpora: [String: [KeptSequence]] = [:]
  package var snapshots: [String: [KeptSequence]] = [:]
  /// Sentences on the damage that was found.
  package var damage: [String] = []

  /// Checks a store for damage, opens it, and reads all of its content.
  ///
  /// - Parameter body: Called with the open store and all findings.
  package init(
    store path: String, _ body: (Store, Inspection) throws -> Void = { _, _ in }
  ) throws {
    // Without this file the directory is not a store yet; opening it creates one.
    if FileManager.default.fileExists(atPath: "\(path)/format") {
      let report = try StoreInspection.check(path: path, deep: true)
      for found in report.damage { damage.append("\(found.what): \(found.reason)") }
      for corpus in report.corpora {
        for found in corpus.damage {
          damage.append("corpus \(corpus.name), \(found.what): \(found.reason)")
        }
      }
    }
    let store = try Store(path: path, options: Self.options)
    defer { store.close() }
    for corpus in store.corpora() {
      corpora[corpus.name.text] = try Self.sequences(of: corpus)
      for sentence in corpus.stats().damage { damage.append("corpus \(corpus.name): \(sentence)") }
    }
    for snapshot in try store.snapshots() {
      _ = try store.verifySnapshot(.named(snapshot.name))
      let read = try Store(
        snapshot: "\(path)/snapshots/\(snapshot.name).snapshot", options: Self.options)
      defer { read.close() }
      for corpus in read.corpora() { snapshots[snapshot.name] = try Self.sequences(of: corpus) }
    }
    try body(store, self)
  }

  private static func sequences(of corpus: Corpus) throws -> [KeptSequence] {
    var sequences: [KeptSequence] = []
    try corpus.forEachSequence { sequence in
      sequences.append(sequence)
      return true
    }
    return sequences
  }

  /// Nothing else may change the store while it is inspected.
  private static var options: StoreOptions {
    var options = StoreOptions()
    options.mapBytes = 1 << 30
    options.sealTokens = 1 << 12
    options.compactsInBackground = false
    return options
  }
}
