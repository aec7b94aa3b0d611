import Access
import Concurrency
import CorpusStore
import Logging
import NIOCore
import RepriseModel
import WireProtocol

/// The calls of operators, which read or rewrite whole corpora. They are carried out one after the
/// other, on a thread with low priority, and each leaves one line in the log.
extension Responder {
  func merge(_ call: CorpusMerge, _ completion: () -> Completion) throws(WireError) {
    _ = try corpus(call.from)
    _ = try corpus(call.into)
    operate(
      "corpus merged", ["from": "\(call.from)", "corpus": "\(call.into)"], completion()
    ) { [self] (line) throws(WireError) in
      let receipt = try wire(corpus: call.into) { () throws(StoreError) in
        try store.mergeCorpus(from: call.from, into: call.into)
      }
      line["tokens"] = "\(receipt.tokens)"
      return receipt
    }
  }

  func forget(_ call: SequenceForget, _ completion: () -> Completion) throws(WireError) {
    _ = try corpus(call.corpus)
    operate("sequences forgotten", ["corpus": "\(call.corpus)"], completion()) {
      [self] (line) throws(WireError) in
      let receipt = try wire(corpus: call.corpus) { () throws(StoreError) in
        try store.forget(ids: call.ids, inCorpus: call.corpus)
      }
      line["sequences"] = "\(receipt.forgotten)"
      line["tokens"] = "\(receipt.tokens)"
      return receipt
    }
  }

  // MARK: Snapshots

  func createSnapshot(_ call: SnapshotCreate, _ completion: () -> Completion) throws(WireError) {
    _ = try corpus(call.corpus)
    operate("snapshot taken", ["corpus": "\(call.corpus)"], completion()) {
      [self] (line) throws(WireError) in
      let snapshot = try wire(corpus: call.corpus, snapshotMember: "params.name") {
        () throws(StoreError) in
        try store.createSnapshot(ofCorpus: call.corpus, named: call.name)
      }
      line["snapshot"] = "\(snapshot.name)"
      line["tokens"] = "\(snapshot.tokens)"
      return snapshot
    }
  }

  /// Snapshots of dropped corpora are listed as well.
  func listSnapshots(
    ofCorpus corpus: String?, _ grant: Grant, _ completion: @escaping Completion
  ) {
    operate("snapshots listed", level: .debug, [:], completion) { [self] _ throws(WireError) in
      let snapshots = try wire { () throws(StoreError) in try store.snapshots() }
      return SnapshotList(
        snapshots: snapshots.filter {
          (corpus == nil || $0.corpus.text == corpus) && grant.covers(corpus: $0.corpus)
        })
    }
  }

  func verifySnapshot(
    _ reference: SnapshotReference, _ grant: Grant, _ completion: @escaping Completion
  ) {
    operate("snapshot verified", ["snapshot": "\(reference.label)"], completion) {
      [self] (line) throws(WireError) in
      try check(reference, isFor: grant)
      let snapshot = try wire { () throws(StoreError) in
        try store.verifySnapshot(reference)
      }
      line["corpus"] = "\(snapshot.corpus)"
      line["tokens"] = "\(snapshot.tokens)"
      return snapshot
    }
  }

  func deleteSnapshot(_ name: String, _ grant: Grant, _ completion: @escaping Completion) {
    operate("snapshot deleted", ["snapshot": "\(name.excerpt)"], completion) {
      [self] _ throws(WireError) in
      try check(.named(name), isFor: grant)
      try wire { () throws(StoreError) in try store.deleteSnapshot(named: name) }
      return SnapshotDeleted(deleted: true)
    }
  }

  func restoreSnapshot(
    _ call: SnapshotRestore, _ grant: Grant, _ completion: @escaping Completion
  ) {
    operate(
      "snapshot restored",
      ["snapshot": "\(call.snapshot.label)", "corpus": "\(call.corpus)"], completion
    ) { [self] (line) throws(WireError) in
      try refuseBeyondLimit(call.corpus)
      try check(call.snapshot, isFor: grant)
      let corpus = try wire(corpus: call.corpus) { () throws(StoreError) in
        try store.restore(
          call.snapshot, into: call.corpus, replacing: call.replace)
      }
      let statistics = corpus.stats()
      line["tokens"] = "\(statistics.tokens)"
      return statistics
    }
  }

  /// To a caller without rights to the corpus, an existing snapshot and a missing one give
  /// identical answers.
  private func check(
    _ snapshot: SnapshotReference, isFor grant: Grant
  ) throws(WireError) {
    guard case .named(let name) = snapshot, !grant.coversAll else { return }
    let corpus = try wire { () throws(StoreError) in try store.corpus(ofSnapshot: name) }
    if !grant.covers(corpus: corpus) {
      throw WireError(.snapshotNotFound(name))
    }
  }

  // MARK: Execution

  /// Runs `body` with the store; errors are translated to those of the wire.
  private func wire<Value>(
    corpus: CorpusName? = nil, snapshotMember: String = "params.snapshot",
    _ body: () throws(StoreError) -> Value
  ) throws(WireError) -> Value {
    do throws(StoreError) {
      return try body()
    } catch {
      throw wireError(error, corpus: corpus, snapshotMember: snapshotMember)
    }
  }

  /// The wire's error for one of the store's. Full paths of this machine appear in the log alone.
  func wireError(
    _ error: StoreError, corpus: CorpusName?, snapshotMember: String = "params.snapshot"
  ) -> WireError {
    if error.descriptionForClients != error.description {
      logger.warning("the store refused a call", metadata: ["error": "\(error)"])
    }
    return WireError(error, corpus: corpus, snapshotMember: snapshotMember)
  }

  /// Carries out a call of an operator.
  ///
  /// - Parameters:
  ///   - metadata: The fields of the log line that are known before.
  ///   - body: Carries the call out, and adds fields to the line.
  private func operate(
    _ what: Logger.Message, level: Logger.Level = .notice, _ metadata: Logger.Metadata,
    _ completion: @escaping Completion,
    _ body: @escaping @Sendable (inout Logger.Metadata) throws(WireError) -> any WireResult
  ) {
    operations.run { [logger, operationUnderWay] in
      let start = NIODeadline.now()
      operationUnderWay.withLock { $0 = "\(what)" }
      defer { operationUnderWay.withLock { $0 = nil } }
      var line = metadata
      let result: Result<any WireResult, WireError>
      do throws(WireError) {
        result = .success(try body(&line))
      } catch {
        result = .failure(error)
      }
      line["seconds"] = "\(Double((NIODeadline.now() - start).nanoseconds / 1_000_000) / 1000)"
      switch result {
      case .success: logger.log(level: level, what, metadata: line)
      case .failure(let error):
        line["error"] = "\(error)"
        logger.warning("not done: \(what)", metadata: line)
      }
      completion(result)
    } dropped: {
      completion(.failure(.stopping))
    }
  }
}

extension WireError {
  fileprivate static let stopping = WireError(
    .busy, "the service is stopping and begins no long work; send again when it is back",
    ["retry_after_ms": .number(1000)])
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
