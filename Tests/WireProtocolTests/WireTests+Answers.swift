import Foundation
import RepriseModel
import TestSupport
import Testing
@testable import WireProtocol

/// Results and errors, from the service to a client.
extension WireTests {
  func answer(_ write: (inout JSONWriter) -> Void, _ check: (ResultObject) -> Bool) throws -> Bool {
    var writer = JSONWriter()
    write(&writer)
    var isRight = false
    try unsafe ResponseReader(lineBytesMax: 1 << 20).read(writer.bytes.span.bytes) { id, result in
      guard id == .number(3), case .success(let object) = result else { return }
      isRight = check(object)
    }
    return isRight
  }

  @Test func resultsRoundTrip() throws {
    func roundTrips<R: WireResult & Equatable>(_ result: R) throws -> Bool {
      try answer({ $0.result(.number(3), result) }, { R(result: $0) == result })
    }
    var draft = Draft()
    #expect(try roundTrips(draft))
    draft.tokens = [5, 6, 7]
    draft.parents = [-1, 0, 0]
    draft.probs = [1, 0.33333334, 1e-20]
    draft.counts = [9, 3, 1]
    draft.score = 1.3333333333333333
    draft.matchLength = 4
    draft.source = .local
    #expect(try roundTrips(draft))
    #expect(
      try roundTrips(
        ServerInfo(
          version: "1", limits: [.steps: 3], eventLoopLineBytes: 9, uptimeSeconds: 1.5)))
    #expect(try roundTrips(ClientReported(client: "vllm")))
    #expect(try roundTrips(Health(ok: false, awaited: ["a"])))
    #expect(try roundTrips(CorpusDescription(corpus: "c", settings: CorpusSettings(depth: 3))))
    var statistics = CorpusStatistics(
      corpus: "c", settings: CorpusSettings(depth: 3, tokenizer: "t"))
    statistics.sequences = 1
    statistics.tokens = 2
    statistics.openTokens = 3
    statistics.bytesOnDisk = 4
    statistics.bytesInMemory = 5
    statistics.segments = 6
    statistics.segmentsWaiting = 8
    statistics.sessions = 7
    statistics.oldestOrder = 0
    #expect(try roundTrips(statistics))
    #expect(try roundTrips(CorpusList(corpora: [statistics, statistics])))
    #expect(try roundTrips(CorpusDropped(dropped: true)))
    for (retention, durability) in [
      (Retention(tokens: 64, sequences: 8, ageSeconds: 60), Durability.interval(millis: 7)),
      (Retention(ageSeconds: 90), .commit),
    ] {
      let settings = CorpusSettings(
        depth: 3, tokenizer: "t", retention: retention, durability: durability,
        vocabulary: 151_936, endIDs: EndIDs([2, 7])!)
      #expect(try roundTrips(CorpusDescription(corpus: "c", settings: settings)))
      var bounded = statistics
      bounded.settings = settings
      bounded.unsavedSequences = 3
      bounded.damage = ["segment 7 is set aside", "ä"]
      #expect(try roundTrips(bounded))
    }
    #expect(try roundTrips(MergeReceipt(sequences: 1, tokens: 2, duplicates: 3, conflicts: 4)))
    #expect(
      try roundTrips(
        ForgetReceipt(forgotten: 1, tokens: 2, missing: 3, olderSnapshots: ["a", "b"])))
    let snapshot = SnapshotDescription(
      name: "s", corpus: "c", sequences: 1, tokens: 2, bytes: 3, digest: "0f",
      createdSeconds: 1_800_000_000)
    #expect(try roundTrips(snapshot))
    #expect(try roundTrips(SnapshotList(snapshots: [])))
    #expect(try roundTrips(SnapshotList(snapshots: [snapshot, snapshot])))
    #expect(try roundTrips(SnapshotDeleted(deleted: true)))
    #expect(try roundTrips(InsertReceipt(inserted: 1, duplicates: 2, tokens: 3, lastOrder: 4)))
    #expect(try roundTrips(SessionOpened(session: "s", promptTokens: 1, reusedTokens: 0)))
    #expect(try roundTrips(RecordReceipt(recordedTokens: 1, order: 2)))
    for reason in RecordReceipt.UnrecordedReason.allCases {
      #expect(
        try roundTrips(RecordReceipt(recordedTokens: 0, order: nil, unrecordedReason: reason)))
    }
    let list = DraftList(drafts: [.success(draft), .failure(.sessionNotFound("s"))])
    #expect(
      try answer(
        { $0.result(.number(3), list) },
        { DraftList(result: $0)?.drafts == list.drafts }))
  }

  /// A faulty service must not lead a worker out of the draft's arrays.
  @Test func lyingDraftsAreRefused() throws {
    for (tokens, parents) in [
      ("[1,2]", "[-1,1]"), ("[1]", "[-2]"), ("[1]", "[]"), ("[-1]", "[-1]"),
    ] {
      let line =
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"tokens\":\(tokens),\"parents\":\(parents),"
        + "\"probs\":[1,1],\"counts\":[1,1],\"score\":1,\"match_length\":1,\"source\":\"local\"}}"
      let bytes = [UInt8](line.utf8)
      var isRefused = false
      try unsafe ResponseReader(lineBytesMax: 1 << 20).read(bytes.span.bytes) { _, result in
        if case .success(let object) = result { isRefused = Draft(result: object) == nil }
      }
      #expect(isRefused, "\(line)")
    }
  }

  @Test func codesAreTheirKinds() {
    #expect(Set(ErrorKind.allCases.map(\.code)).count == ErrorKind.allCases.count)
    #expect(ErrorKind.snapshotNotFound.code == -32011)
    #expect(
      ErrorKind.readOnly.code == -32012 && ErrorKind.readOnly.rawValue == "read_only")
  }

  @Test func errorsRoundTrip() throws {
    for kind in ErrorKind.allCases {
      let error = WireError(
        kind, "says \"so\"", ["a": .text("x"), "b": .number(-3), "c": .texts(["y", "z"])])
      var writer = JSONWriter()
      writer.error(.string("i"), error)
      var read: WireError?
      try unsafe ResponseReader(lineBytesMax: 1 << 16).read(writer.bytes.span.bytes) { _, result in
        if case .failure(let error) = result { read = error }
      }
      #expect(read == error)
    }
  }

  @Test func numbersAreWrittenShortestAndExact() {
    func text(_ write: (inout JSONWriter) -> Void) -> String {
      var writer = JSONWriter()
      write(&writer)
      return String(decoding: writer.bytes, as: UTF8.self)
    }
    #expect(text { $0.integer(Int.min) } == "-9223372036854775808")
    #expect(text { $0.integer(UInt64.max) } == "18446744073709551615")
    #expect(text { $0.number(Float(1)) } == "1")
    #expect(text { $0.number(Float(0.1)) } == "0.1")
    #expect(text { $0.number(3.0) } == "3")
    #expect(text { $0.number(-0.5) } == "-0.5")
    // Equal numbers are copied, also after the buffer has grown, and never from bytes that were
    // discarded.
    let third = Float(1) / 3
    let many = text { writer in
      writer.beginArray()
      for _ in 0..<2000 { writer.number(third) }
      writer.endArray()
    }
    #expect(many == "[" + Array(repeating: "0.33333334", count: 2000).joined(separator: ",") + "]")
    let back = text { writer in
      writer.beginArray()
      let mark = writer.mark
      writer.number(third)
      writer.rollBack(to: mark)
      writer.integer(7)
      writer.number(third)
      writer.endArray()
    }
    #expect(back == "[7,0.33333334]")
  }
}
