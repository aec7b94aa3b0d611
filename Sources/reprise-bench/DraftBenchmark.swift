import CorpusStore
import Foundation
import RepriseModel
import TestSupport
import ToolSupport

/// Drafts in this process from local and shared history, advancing included, by history size.
struct DraftBenchmark {
  private let setting: Setting
  private static let evaluated = 200
  private static let rounds = 3

  /// A fifth of the published implementation's p50 and p99 in microseconds, as they were measured at
  /// the beginning of this project. If a measurement gave a range, its upper end counts.
  private static func targets(_ tokens: Int) -> (p50: Double, p99: Double) {
    tokens <= 1_000_000 ? (20.0 / 5, 137.0 / 5) : (17.5 / 5, 67.0 / 5)
  }

  init(_ setting: Setting) { self.setting = setting }

  func run(_ report: inout Report, _ plot: inout HistoryPlot) throws {
    guard let large = setting.large else { return }
    report.begin("Drafts in process: local and shared, advancing included, one call a step")
    var pathAtOneMillion = 0.0
    for size in Setting.historySizes {
      let records = try readTrace(large, tokensMax: size + 400_000)
      let (store, corpus, used) = try history(of: size, records)
      let evaluated = records[used...].prefix(Self.evaluated)
      let (targetP50, targetP99) = Self.targets(size)
      for tree in [false, true] {
        let measured = try measure(evaluated, corpus, tree: tree)
        let (p50, p99) = measured.paper
        let what = "\(millions(size)) M tokens, \(tree ? "tree" : "path")"
        report.add("\(what): p50", p50, "µs", .atMost(targetP50))
        report.add("\(what): p99", p99, "µs", .atMost(targetP99))
        measured.addEstimate(what, to: &report)
        plot.addLatency(tokens: size, p50: p50, p99: p99, tree: tree)
        if size == 1_000_000 && !tree { pathAtOneMillion = p50 }
      }
      let stats = corpus.stats()
      plot.addBytes(tokens: size, bytes: stats.bytesPerToken)
      report.add("\(millions(size)) M tokens: segments", Double(stats.segments), "")
      report.add(
        "\(millions(size)) M tokens: on disk and in memory", stats.bytesPerToken, "B a token")
      store.close()
    }
    try whole(large, pathAtOneMillion, &report, &plot)
  }

  /// Replays the last records of the large trace over all the others.
  private func whole(
    _ large: String, _ atOneMillion: Double, _ report: inout Report, _ plot: inout HistoryPlot
  ) throws {
    guard let heldBack = setting.heldBack else { return }
    try setting.require(setting.wholeStore, of: "load")
    let store = try Store(path: setting.wholeStore, options: Self.options)
    defer { store.close() }
    guard let corpus = try store.corpus(named: "large") else { throw ToolError("no corpus") }
    let stats = corpus.stats()
    let evaluated = try readTrace(heldBack)[...].prefix(Self.evaluated)
    for tree in [false, true] {
      let measured = try measure(evaluated, corpus, tree: tree)
      let (p50, p99) = measured.paper
      let what = "\(millions(stats.tokens)) M tokens, \(tree ? "tree" : "path")"
      if tree || atOneMillion == 0 {
        report.add("\(what): p50", p50, "µs")
      } else {
        report.add("\(what): p50", p50, "µs", .atMost(2 * atOneMillion))
      }
      report.add("\(what): p99", p99, "µs")
      measured.addEstimate(what, to: &report)
      plot.addLatency(tokens: stats.tokens, p50: p50, p99: p99, tree: tree)
    }
    plot.addBytes(tokens: stats.tokens, bytes: stats.bytesPerToken)
    report.add("\(millions(stats.tokens)) M tokens: segments", Double(stats.segments), "")
    report.add(
      "\(millions(stats.tokens)) M tokens: on disk and in memory", stats.bytesPerToken,
      "B a token", .atMost(20))
  }

  private static var options: StoreOptions {
    var options = StoreOptions()
    options.compactsInBackground = false
    return options
  }

  /// The steps of both policies at an equal number of drafted tokens.
  private struct Measured {
    var paper = (p50: 0.0, p99: 0.0)
    var estimate = (p50: 0.0, p99: 0.0)
    var drafted = (paper: 0.0, estimate: 0.0)
    var accepted = (paper: 0.0, estimate: 0.0)

    func addEstimate(_ what: String, to report: inout Report) {
      report.add(
        "\(what), by estimate: p50", estimate.p50, "µs", .atMost(1.5 * paper.p50))
      report.add(
        "\(what), by estimate: p99", estimate.p99, "µs", .atMost(1.3 * paper.p99))
      report.add(
        "\(what): accepted of \(significant(drafted.paper)) drafted tokens a step",
        accepted.paper, "")
      report.add(
        "\(what): accepted of \(significant(drafted.estimate)), by estimate", accepted.estimate, "")
    }
  }

  private func measure(
    _ records: ArraySlice<Record>, _ corpus: Corpus, tree: Bool
  ) throws -> Measured {
    let paper = DraftOptions(tree: tree)
    let wanted = try Decoding.run(records, over: corpus, paper).draftedPerStep
    let estimate = try equallyDrafted(wanted, records, corpus, tree: tree)
    var (papers, estimates): ([Latencies], [Latencies]) = ([], [])
    var measured = Measured()
    for _ in 0..<Self.rounds {
      let one = try Decoding.run(records, over: corpus, paper)
      let other = try Decoding.run(records, over: corpus, estimate)
      papers.append(one.steps)
      estimates.append(other.steps)
      measured.drafted = (one.draftedPerStep, other.draftedPerStep)
      measured.accepted = (one.acceptedPerStep, other.acceptedPerStep)
    }
    func medians(_ rounds: [Latencies]) -> (p50: Double, p99: Double) {
      (median(rounds.map { $0.quantile(0.5) }), median(rounds.map { $0.quantile(0.99) }))
    }
    (measured.paper, measured.estimate) = (medians(papers), medians(estimates))
    return measured
  }

  /// The options of the policy `estimate` with which about as many tokens are drafted.
  private func equallyDrafted(
    _ wanted: Double, _ records: ArraySlice<Record>, _ corpus: Corpus, tree: Bool
  ) throws -> DraftOptions {
    var options = DraftOptions(policy: .estimate, tree: tree)
    var (low, high) = (0.001, 1.0)
    for _ in 0..<7 {
      options.minProbability = (low * high).squareRoot()
      let drafted = try Decoding.run(records, over: corpus, options).draftedPerStep
      if drafted > wanted { low = options.minProbability } else { high = options.minProbability }
    }
    return options
  }

  /// Creates a store of the first records, fully compacted. Returns the number of records used.
  private func history(
    of size: Int, _ records: [Record]
  ) throws -> (Store, Corpus, used: Int) {
    let store = try Store(
      path: try setting.emptyStore("history-\(size)"), options: Self.options)
    let corpus = try store.createCorpus(named: "large", CorpusSettings())
    var used = 0
    var tokens = 0
    while used < records.count && tokens < size {
      var batch: [NewSequence] = []
      while used < records.count && tokens < size && batch.count < 512 {
        batch.append(NewSequence(tokens: records[used].output))
        tokens += records[used].output.count
        used += 1
      }
      try corpus.insert(batch)
    }
    try corpus.compact(newestToo: false)
    return (store, corpus, used)
  }

  private func millions(_ tokens: Int) -> String { significant(Double(tokens) / 1e6) }
}
