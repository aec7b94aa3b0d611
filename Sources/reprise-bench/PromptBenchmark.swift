import CorpusStore
import Foundation
import HistoryEngine
import RepriseModel
import TestSupport
import ToolSupport

/// The cost of opening a session, in this process; the socket benchmark measures its cost for
/// others.
struct PromptBenchmark {
  private let setting: Setting

  init(_ setting: Setting) { self.setting = setting }

  func run(_ report: inout Report) throws {
    report.begin("Prompts")
    let path = try setting.emptyStore("prompts")
    let store = try Store(path: path)
    defer { store.close() }
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    for name in setting.traceNames {
      let prompts = try setting.records(name).map(\.prompt).filter { !$0.isEmpty }.prefix(1000)
      let tokens = prompts.reduce(0) { $0 + $1.count }
      if tokens == 0 { continue }
      var times: [Double] = []
      for _ in 0..<3 {
        let start = nanoseconds()
        for prompt in prompts { _ = corpus.openSession(prompt: prompt) }
        times.append(Double(nanoseconds() - start) / Double(tokens) / 1000)
      }
      report.add("\(name): opening a session", median(times), "µs a token", .atMost(0.15))
    }
    try turns(corpus, &report)
  }

  /// Measures the opening of a session whose prompt continues a closed session of 50,000 tokens by 500.
  private func turns(_ corpus: Corpus, _ report: inout Report) throws {
    var text: [Int32] = []
    for name in setting.traceNames {
      for record in try setting.records(name) where text.count < 120_000 {
        text += record.prompt + record.output
      }
    }
    var times = Latencies()
    for start in stride(from: 0, to: min(60_000, text.count - 50_500), by: 1000) {
      let parent = corpus.openSession(prompt: Array(text[start..<(start + 50_000)]))
      parent.close(record: false) { _ in }
      let prompt = Array(text[start..<(start + 50_500)])
      let begin = nanoseconds()
      let session = corpus.openSession(prompt: prompt, continuing: parent)
      times.add(nanoseconds() - begin)
      precondition(session.reusedTokens == 50_000)
    }
    if times.count == 0 { return }
    report.add(
      "a turn of 500 tokens after 50,000: p50", times.quantile(0.5) / 1000, "ms", .atMost(0.5))
    report.add("a turn of 500 tokens after 50,000: largest", times.quantile(1) / 1000, "ms")
  }
}
