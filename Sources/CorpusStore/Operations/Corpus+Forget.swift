import Foundation
import LMDB

/// What became of `Corpus.forget`.
public struct ForgetReceipt: Equatable, Sendable {
  /// Sequences that were there and are gone.
  public var forgotten = 0
  /// Tokens in them.
  public var tokens = 0
  /// Ids that stood for nothing.
  public var missing = 0
  /// Snapshots of the corpus in its store, which are older and keep what they hold.
  public var olderSnapshots: [String] = []

  public init() {}
}

extension Store {
  /// Removes sequences of a corpus for good, and tells which snapshots keep what they hold. See
  /// `Corpus.forget`.
  public func forget(ids: [String], inCorpus name: String) throws(StoreError) -> ForgetReceipt {
    guard let corpus = try corpus(named: name) else { throw .corpusNotFound(name) }
    // First, so that nothing can fail when it is done.
    let older = try snapshots().filter { $0.corpus == name }.map(\.name)
    var receipt = try corpus.forget(ids: ids)
    receipt.olderSnapshots = older
    return receipt
  }
}

extension Corpus {
  /// Removes sequences for good. When it returns they are in no draft, in no later snapshot and not
  /// on disk: the pages that held them are overwritten. Snapshots that were taken before keep what
  /// they hold.
  ///
  /// Where it throws, some of this may have been done; it can be repeated.
  ///
  /// - Complexity: Waits for the disk, and writes the segments that the sequences lie in anew: 1 µs
  ///   for each token of those.
  /// - Parameter patience: How long it waits for others that read an old state of the file: other
  ///   processes, such as a check.
  /// - Throws: `stillRead` when the patience is over.
  public func forget(
    ids: [String], patience: Duration = .seconds(10)
  ) throws(StoreError) -> ForgetReceipt {
    if isReadOnly { throw .readOnly(corpus: name) }
    // No snapshot is being taken that could end after this and hold what is forgotten.
    return try turns.takeAll { () throws(StoreError) in
      try commit()
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

  /// Time between two tries.
  private static let overwriteWaitMicros: UInt32 = 100_000

  private func overwriteFreePages(_ patience: Duration) throws(StoreError) {
    let end = options.clock.now() + patience
    while true {
      // Pages are free for good after another commit, after which the view moves on too.
      try commit()
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
