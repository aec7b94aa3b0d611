import Access
import CorpusStore
import Logging
import RepriseModel
import StoreErrors
import WireProtocol

/// The calls on snapshots of corpora.
struct Snapshots: Sendable {
  let store: Store
  let corpora: Corpora
  let operations: Operations
  let errors: StoreErrors

  func create(_ call: SnapshotCreate) throws(WireError) -> Answer {
    _ = try corpora.corpus(call.corpus)
    return operations.answer("snapshot taken", ["corpus": "\(call.corpus)"]) {
      [self] (line) throws(WireError) in
      let snapshot = try errors.translating(corpus: call.corpus, snapshotMember: "params.name") {
        () throws(StoreError) in
        try store.createSnapshot(ofCorpus: call.corpus, named: call.name)
      }
      line["snapshot"] = "\(snapshot.name)"
      line["tokens"] = "\(snapshot.tokens)"
      return snapshot
    }
  }

  /// Snapshots of dropped corpora are listed as well.
  func list(ofCorpus corpus: String?, for grant: Grant) -> Answer {
    operations.answer("snapshots listed", level: .debug) { [self] _ throws(WireError) in
      let snapshots = try errors.translating { () throws(StoreError) in try store.snapshots() }
      return SnapshotList(
        snapshots: snapshots.filter {
          (corpus == nil || $0.corpus.text == corpus) && grant.covers(corpus: $0.corpus)
        })
    }
  }

  func verify(_ reference: SnapshotReference, for grant: Grant) -> Answer {
    operations.answer("snapshot verified", ["snapshot": "\(reference.label)"]) {
      [self] (line) throws(WireError) in
      try check(reference, isFor: grant)
      let snapshot = try errors.translating { () throws(StoreError) in
        try store.verifySnapshot(reference)
      }
      line["corpus"] = "\(snapshot.corpus)"
      line["tokens"] = "\(snapshot.tokens)"
      return snapshot
    }
  }

  func delete(_ name: String, for grant: Grant) -> Answer {
    operations.answer("snapshot deleted", ["snapshot": "\(name.excerpt)"]) {
      [self] _ throws(WireError) in
      try check(.named(name), isFor: grant)
      try errors.translating { () throws(StoreError) in try store.deleteSnapshot(named: name) }
      return SnapshotDeleted(deleted: true)
    }
  }

  func restore(_ call: SnapshotRestore, for grant: Grant) -> Answer {
    operations.answer(
      "snapshot restored", ["snapshot": "\(call.snapshot.label)", "corpus": "\(call.corpus)"]
    ) { [self] (line) throws(WireError) in
      try corpora.refuseBeyondLimit(call.corpus)
      try check(call.snapshot, isFor: grant)
      let corpus = try errors.translating(corpus: call.corpus) { () throws(StoreError) in
        try store.restore(call.snapshot, into: call.corpus, replacing: call.replace)
      }
      let statistics = corpus.stats()
      line["tokens"] = "\(statistics.tokens)"
      return statistics
    }
  }

  /// To a caller without rights to the corpus, an existing snapshot and a missing one give
  /// identical answers.
  private func check(_ snapshot: SnapshotReference, isFor grant: Grant) throws(WireError) {
    guard case .named(let name) = snapshot, !grant.coversAll else { return }
    let corpus = try errors.translating { () throws(StoreError) in
      try store.corpus(ofSnapshot: name)
    }
    if !grant.covers(corpus: corpus) {
      throw WireError(.snapshotNotFound(name))
    }
  }
}

extension SnapshotReference {
  /// The name of a snapshot in the log.
  fileprivate var label: String {
    switch self {
    case .named(let name): name.excerpt
    case .file(let path): path.excerpt
    }
  }
}
