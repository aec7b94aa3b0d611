import CAllocationCounter
import CorpusStore
import Foundation
import HistoryEngine
import RepriseModel

/// The allocations of a step in the store. (A test covers this and the whole request path.)
struct AllocationBenchmark {
  private let setting: Setting

  init(_ setting: Setting) { self.setting = setting }

  func run(_ report: inout Report) throws {
    report.begin("Allocations")
    let store = try Store(path: try setting.emptyStore("allocations"))
    defer { store.close() }
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    guard let name = setting.traceNames.first else { return }
    let records = try setting.records(name).prefix(400)
    try corpus.insert(records.prefix(200).map { NewSequence(tokens: $0.output) })
    var scratch = DraftScratch()
    var draft = Draft()
    var counts: [Double] = []
    for record in records.dropFirst(200) {
      let session = corpus.openSession(prompt: record.prompt, share: .live)
      var position = 0
      while position < record.output.count {
        let joined = record.output[position...].prefix(3)
        let before = allocation_count()
        try session.step(
          accepting: joined.span, DraftOptions(), using: &scratch, into: &draft)
        counts.append(Double(allocation_count() - before))
        position += joined.count
      }
      session.close(record: false) { _ in }
    }
    report.add("a step in process: median", median(counts), "allocations", .atMost(0))
    report.add(
      "a step in process: mean", counts.reduce(0, +) / Double(counts.count), "allocations")
  }
}
