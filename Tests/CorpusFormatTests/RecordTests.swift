import RepriseModel
import Testing

@testable import CorpusFormat

/// Records are found damaged wherever a byte of them changes, and under any key but their own.
@Suite struct RecordTests {
  @Test func recordsRoundTripAndRefuseEveryFlippedByte() throws {
    let record = SequenceRecord(
      committedSeconds: 7, id: "id", tokens: [1, 2, 3], leadInTokens: 2)
    let segment = SegmentRecord(
      size: HistorySize(tokens: 5, leadInTokens: 4, sequences: 1), imageBytes: 100, tableBytes: 16,
      orders: 0...3, seconds: 5...6, tokenBits: 7, checksums: [1, 2])
    let id = IDRecord(order: 3, digest: 9)
    let key = [UInt8]("id".utf8)
    #expect(SequenceRecord(record.encoded(order: 4).rawSpan, order: 4) == record)
    #expect(SegmentRecord(segment.encoded(segment: 4).rawSpan, segment: 4) == segment)
    #expect(IDRecord(id.encoded(id: "id").rawSpan, id: key.rawSpan) == id)
    // Under another key they are damaged as well.
    #expect(SequenceRecord(record.encoded(order: 4).rawSpan, order: 5) == nil)
    #expect(SegmentRecord(segment.encoded(segment: 4).rawSpan, segment: 5) == nil)
    #expect(IDRecord(id.encoded(id: "ie").rawSpan, id: key.rawSpan) == nil)
    let encodings = [
      record.encoded(order: 4), segment.encoded(segment: 4), id.encoded(id: "id"),
      CorpusSettings(tokenizer: "t").encoded(),
      CorpusState(transaction: 7, nextOrder: 8).encoded(),
    ]
    for encoded in encodings {
      func isRefused(_ bytes: [UInt8]) -> Bool {
        SequenceRecord(bytes.rawSpan, order: 4) == nil
          && SegmentRecord(bytes.rawSpan, segment: 4) == nil
          && IDRecord(bytes.rawSpan, id: key.rawSpan) == nil
          && CorpusSettings(encoded: bytes.rawSpan) == nil
          && CorpusState(encoded: bytes.rawSpan) == nil
      }
      for position in encoded.indices {
        var flipped = encoded
        flipped[position] ^= 0x10
        #expect(isRefused(flipped))
        #expect(isRefused(Array(encoded.prefix(position))))
      }
    }
  }

  @Test func aSequenceTableIsReadWholeOrNotAtAll() {
    var table = SequenceTable()
    let entries = [
      SequenceTable.Entry(
        order: 5, committedSeconds: 9, digest: 1, outputDigest: 1, tokens: 3, id: "a"),
      SequenceTable.Entry(
        order: 2, committedSeconds: 7, digest: 2, outputDigest: 3, tokens: 4, leadInTokens: 3,
        id: nil),
    ]
    for entry in entries { table.append(entry) }
    #expect(table.orders == 2...5 && table.seconds == 7...9)
    #expect(table.size == HistorySize(tokens: 7, leadInTokens: 3, sequences: 2))
    #expect(SequenceTable.entries(table.bytes, count: 2) == entries)
    #expect(SequenceTable.entries(table.bytes, count: 1) == nil)
    for count in 0..<table.bytes.count {
      #expect(SequenceTable.entries(Array(table.bytes.prefix(count)), count: 2) == nil)
    }
  }

  @Test func settingsRoundTrip() {
    let all = [
      CorpusSettings(),
      CorpusSettings(
        depth: 8, tokenizer: "t", retention: Retention(tokens: 64, sequences: 8, ageSeconds: 60),
        durability: .interval(millis: 200), vocabulary: 50_000, leadIn: 64,
        endIDs: EndIDs([0, 7, 49_999])!),
      CorpusSettings(retention: Retention(sequences: 9)),
    ]
    for settings in all {
      #expect(CorpusSettings(encoded: settings.encoded().rawSpan) == settings)
    }
  }

  @Test func aManifestIsRefusedWhereverAByteOfItChanges() throws {
    let manifest = SnapshotManifest(
      environmentBytes: 8192, createdSeconds: 3, size: HistorySize(tokens: 7, sequences: 2),
      digest: Digest(low: 1, high: 2), corpus: "c", settings: CorpusSettings(tokenizer: "t"))
    let bytes = manifest.encoded()
    let fileBytes = 8192 + SnapshotManifest.byteCount
    #expect(bytes.count == SnapshotManifest.byteCount)
    #expect(try SnapshotManifest(bytes, fileBytes: fileBytes) == manifest)
    #expect(throws: SnapshotManifest.Unreadable.self) {
      try SnapshotManifest(bytes, fileBytes: fileBytes + 4096)
    }
    for position in bytes.indices {
      var flipped = bytes
      flipped[position] ^= 0x10
      #expect(throws: SnapshotManifest.Unreadable.self, "\(position)") {
        try SnapshotManifest(flipped, fileBytes: fileBytes)
      }
    }
  }
}
