import LMDB
import SuffixIndex

/// Turns finished sequences into a segment: those of a growing part, or those of other segments.
///
/// The index is built on the caller's thread, without any lock. Its chunks are then written a few
/// at a time, so that inserts are never held up for long; the segment's record comes last, in one
/// transaction with the removal of what it replaces. A crash before that leaves chunks without a
/// record, which are removed at the next open.
struct Sealing {
  private let corpus: Corpus
  private let file: CorpusFile

  /// Chunks in one transaction: some 30 ms of writing.
  private static let chunksPerCommit = 4

  init(_ corpus: Corpus, _ file: CorpusFile) {
    self.corpus = corpus
    self.file = file
  }

  /// Seals a part whose sequences are all finished.
  func seal(_ part: GrowingPart) throws(StoreError) {
    if part.finished.isEmpty {
      let (corpus, part) = (corpus, UncheckedBox(part))
      // Views are installed by the writer thread alone.
      return try commit { _, _ in
      } installing: { () throws(StoreError) in
        try corpus.install(nil, replacing: [], part: part.value)
      }
    }
    let orders = part.finished.sorted()
    var builder = SealedIndexBuilder(
      depth: corpus.settings.depth, tokensExpected: part.finishedTokens + orders.count)
    var table = SequenceTable()
    let transaction = try file.beginReading()
    do throws(LMDBError) {
      for order in orders {
        guard let bytes = try transaction.get(Key(order), in: file.log),
          let record = SequenceRecord(bytes)
        else {
          throw LMDBError.damaged
        }
        builder.append(record.tokens.span)
        table.append(order: order, committedSeconds: record.committedSeconds)
      }
    } catch {
      if error == .damaged { throw .corrupt(what: "a sequence of the log", where: file.path) }
      throw file.error(error)
    }
    let tokens = part.finishedTokens
    let part = UncheckedBox(part)
    let (corpus, file) = (corpus, file)
    try store(builder.build(), table, tokens: tokens) { (transaction) throws(LMDBError) in
      for order in orders { try transaction.delete(Key(order), in: file.log) }
    } installing: { (number) throws(StoreError) in
      // The part has been retired, so only the compacting thread and the corpus's lock reach it.
      try corpus.install(number, replacing: [], part: part.value)
    }
  }

  /// Merges segments of a view into one.
  func merge(_ segments: [Segment], of view: SegmentView) throws(StoreError) {
    let tokens = segments.reduce(0) { $0 + $1.record.tokens }
    let sequences = segments.reduce(0) { $0 + $1.record.sequences }
    var builder = SealedIndexBuilder(
      depth: corpus.settings.depth, tokensExpected: tokens + sequences)
    var table = SequenceTable()
    for segment in segments {
      segment.index.forEachSequence { _, tokens in builder.append(tokens) }
      try table.append(tableOf: segment, file, view.transaction)
    }
    let old = segments.map { (number: $0.number, chunks: $0.record.checksums.count) }
    let (corpus, file) = (corpus, file)
    try store(builder.build(), table, tokens: tokens) { (transaction) throws(LMDBError) in
      for segment in old {
        try transaction.delete(Key(segment.number), in: file.segments)
        for chunk in 0..<segment.chunks {
          let key = CorpusFile.chunkKey(segment: segment.number, chunk: chunk)
          try transaction.delete(key, in: file.chunks)
        }
      }
    } installing: { (number) throws(StoreError) in
      try corpus.install(number, replacing: old.map(\.number), part: nil)
    }
  }

  /// Gives the disk back what merged segments took. Nobody may hold a view of them any more.
  func releaseMerged() throws(StoreError) {
    // What a commit frees is free for good after the next one.
    try commit { (transaction, file) throws(LMDBError) in
      var time: [UInt8] = []
      time.append(secondsNow())
      try transaction.put(Key("merged"), time.rawSpan, in: file.meta)
    }
    do throws(LMDBError) {
      try file.environment.releaseFreePages()
    } catch {
      throw file.error(error)
    }
  }

  private func store(
    _ image: SealedImageBuffer, _ table: SequenceTable, tokens: Int,
    removing change: @escaping @Sendable (borrowing WriteTransaction) throws(LMDBError) -> Void,
    installing install: @escaping @Sendable (UInt64) throws(StoreError) -> Void
  ) throws(StoreError) {
    let number = corpus.takeSegmentNumber()
    let bytes = table.bytes
    var record = SegmentRecord(
      tokens: tokens, sequences: table.count, imageBytes: image.byteCount,
      tableBytes: bytes.count, orders: table.orders, checksums: [])
    for chunk in 0..<record.imageChunks {
      record.checksums.append(image.withChunk(chunk) { checksum($0) })
    }
    for chunk in 0..<record.tableChunks {
      record.checksums.append(checksum(Self.tableChunk(bytes, chunk)))
    }
    // Finished images are only read.
    let source = UncheckedBox(image)
    let imageChunks = record.imageChunks
    var first = 0
    while first < record.checksums.count {
      let chunks = first..<min(first + Self.chunksPerCommit, record.checksums.count)
      try commit { (transaction, file) throws(LMDBError) in
        for chunk in chunks {
          let key = CorpusFile.chunkKey(segment: number, chunk: chunk)
          if chunk >= imageChunks {
            try transaction.put(
              key, Self.tableChunk(bytes, chunk - imageChunks), in: file.chunks)
          } else {
            try source.value.withChunk(chunk) { (bytes) throws(LMDBError) in
              try transaction.put(key, bytes, in: file.chunks)
            }
          }
        }
      }
      first = chunks.upperBound
    }
    let encoded = record.encoded()
    try commit { (transaction, file) throws(LMDBError) in
      try change(transaction)
      try transaction.put(Key(number), encoded.rawSpan, in: file.segments)
    } installing: { () throws(StoreError) in
      try install(number)
    }
  }

  @_lifetime(borrow bytes)
  private static func tableChunk(_ bytes: borrowing [UInt8], _ chunk: Int) -> RawSpan {
    let start = chunk * SegmentRecord.tableChunkBytes
    return bytes.rawSpan.extracting(start..<min(start + SegmentRecord.tableChunkBytes, bytes.count))
  }

  /// Has the writer commit a change and then bring memory up to date, and waits for both.
  private func commit(
    _ change:
      @escaping @Sendable (borrowing WriteTransaction, CorpusFile) throws(LMDBError) -> Void,
    installing install: @escaping @Sendable () throws(StoreError) -> Void = {}
  ) throws(StoreError) {
    let answer = Awaited<StoreError?>()
    let installed = Awaited<StoreError?>()
    let job = CompactionJob(change) {
      do throws(StoreError) {
        try install()
        installed.set(nil)
      } catch {
        installed.set(error)
      }
    } completion: {
      answer.set($0)
    }
    corpus.write(job)
    if let error = answer.wait() { throw error }
    if let error = installed.wait() { throw error }
  }
}

/// What is known of a segment's sequences beside their tokens, in the order of the index's text:
/// u64 order number, u64 seconds since 1970 when it was committed.
struct SequenceTable {
  private(set) var bytes: [UInt8] = []
  private var first = UInt64.max
  private var last: UInt64 = 0

  static let entryBytes = 16

  /// Smallest and largest order number. There must be an entry.
  var orders: ClosedRange<UInt64> { first...last }

  var count: Int { bytes.count / Self.entryBytes }

  mutating func append(order: UInt64, committedSeconds: UInt64) {
    bytes.append(order)
    bytes.append(committedSeconds)
    first = min(first, order)
    last = max(last, order)
  }

  mutating func append(
    tableOf segment: Segment, _ file: CorpusFile, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) {
    let record = segment.record
    first = min(first, record.orders.lowerBound)
    last = max(last, record.orders.upperBound)
    for chunk in record.imageChunks..<(record.imageChunks + record.tableChunks) {
      do throws(LMDBError) {
        let key = CorpusFile.chunkKey(segment: segment.number, chunk: chunk)
        guard let span = try transaction.get(key, in: file.chunks),
          checksum(span) == record.checksums[chunk]
        else { throw LMDBError.damaged }
        unsafe span.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
      } catch {
        if error == .damaged {
          throw .corrupt(what: "chunk \(chunk)", where: "segment \(segment.number) of \(file.path)")
        }
        throw file.error(error)
      }
    }
  }
}
