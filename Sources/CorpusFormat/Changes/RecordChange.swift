import LMDB

/// The records that one transaction adds and removes when segments take the place of others, or of
/// sequences of the log. The chunks of new segments are written before.
package struct RecordChange: Sendable {
  package struct NewSegment: Sendable {
    package let number: UInt64
    package let record: SegmentRecord

    package init(number: UInt64, record: SegmentRecord) {
      self.number = number
      self.record = record
    }
  }

  /// Segments whose chunks are written.
  package var added: [NewSegment] = []
  /// Segments that are dropped.
  package var dropped: [SegmentChunks] = []
  /// Sequences that leave the log.
  package var unlogged: [UInt64] = []
  /// Sequences whose ids are removed, and which leave their groups.
  package var forgotten: [SequenceTable.Entry] = []
  /// Sequences whose ids are added.
  package var identified: [SequenceTable.Entry] = []

  package init() {}

  package func write(
    _ transaction: borrowing WriteTransaction, _ file: CorpusFile
  ) throws(LMDBError) {
    for segment in dropped {
      try transaction.delete(Key(segment.number), in: file.segments)
      try segment.delete(transaction)
    }
    for segment in added {
      let record = segment.record.encoded(segment: segment.number)
      try transaction.put(Key(segment.number), record.rawSpan, in: file.segments)
    }
    for order in unlogged { try transaction.delete(Key(order), in: file.log) }
    for entry in forgotten {
      try GroupTables(of: file).remove(entry.order, transaction)
      guard let id = entry.id else { continue }
      // The id may belong to a newer sequence by now.
      var standsForIt = false
      if let bytes = try transaction.get(Key(id), in: file.ids) {
        standsForIt = IDRecord(bytes, id: [UInt8](id.utf8).rawSpan)?.order == entry.order
      }
      if standsForIt { try transaction.delete(Key(id), in: file.ids) }
    }
    for entry in identified {
      guard let id = entry.id else { continue }
      let record = IDRecord(order: entry.order, digest: entry.outputDigest).encoded(id: id)
      try transaction.put(Key(id), record.rawSpan, in: file.ids)
    }
  }
}
