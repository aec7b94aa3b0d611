import Foundation
import LMDB
import RepriseModel

extension Store {
  /// Removes sequences of a corpus permanently, and lists the snapshots that keep what they hold.
  /// See `Corpus.forget`.
  public func forget(ids: [String], inCorpus name: CorpusName) throws(StoreError) -> ForgetReceipt {
    guard let corpus = try corpus(named: name) else { throw .corpusNotFound(name) }
    // Read first, so that nothing can fail after the removal.
    let older = try snapshots().filter { $0.corpus == name }.map(\.name)
    var receipt = try corpus.forget(ids: ids)
    receipt.olderSnapshots = older
    return receipt
  }
}

extension Corpus {
  /// Removes sequences permanently. When it returns they are in no draft, in no later snapshot and
  /// not on disk: the pages that held them are overwritten. Snapshots taken before keep what they
  /// hold.
  ///
  /// If it throws, a part of this may have been done; the call can be repeated.
  ///
  /// - Complexity: Waits for the disk, and rewrites the segments that hold the sequences: 1 µs for
  ///   each token of those.
  /// - Parameter patience: The time to wait for readers of an old state of the file: other
  ///   processes, such as a check.
  /// - Throws: `stillRead` when that time is over.
  public func forget(
    ids: [String], patience: Duration = .seconds(10)
  ) throws(StoreError) -> ForgetReceipt {
    if isReadOnly { throw .readOnly(corpus: name) }
    // No snapshot is being taken that could end after this and hold the removed sequences.
    return try sections.enterAll { () throws(StoreError) in
      try waitForWriter()
      var receipt = ForgetReceipt()
      let orders = try orders(of: ids)
      let removed = try remove { orders.contains($0.order) }
      receipt.forgotten = removed.size.sequences
      receipt.tokens = removed.size.tokens
      receipt.missing = Set(ids).count - removed.size.sequences
      CrashPoint.forgetOverwrite.reached()
      try overwriteFreePages(patience)
      CrashPoint.forgetOverwrite.reached()
      return receipt
    }
  }

  private func orders(of ids: [String]) throws(StoreError) -> Set<UInt64> {
    let transaction = try file.beginReading()
    var orders: Set<UInt64> = []
    for id in ids {
      if !(1...NewSequence.idBytesMax).contains(id.utf8.count) { continue }
      if let record = try file.idRecord(id, transaction) { orders.insert(record.order) }
    }
    return orders
  }

  /// The time between two tries, in microseconds.
  private static let overwriteWaitMicros: UInt32 = 100_000

  private func overwriteFreePages(_ patience: Duration) throws(StoreError) {
    let end = options.clock.now() + patience
    while true {
      // Pages can be reused only after another commit, after which the view moves on too.
      try waitForWriter()
      do throws(LMDBError) {
        try file.environment.overwriteBuffers(using: file.setAside)
        if try file.environment.overwriteUnused(isCancelled: { cancellation.isCancelled }) {
          return
        }
      } catch {
        throw file.error(error)
      }
      if isClosing { throw .cancelled }
      if options.clock.now() >= end { break }
      usleep(Self.overwriteWaitMicros)
    }
    throw .stillRead(corpus: name, readers: otherReaders.map(\.description))
  }
}
