import RepriseModel
import TestSupport
import WireProtocol

/// Compares the drafts of two services that should have the same history: their answers to the same
/// lines must be the same bytes.
struct DraftComparison {
  static let contexts = 10_000
  private static let contextTokens = 64
  private let lines: [[UInt8]]

  /// - Parameter outputs: The source of contexts, each up to one of many places; every other one is
  ///   answered with a tree.
  init(corpus: CorpusName, outputs: [[Int32]]) {
    lines = (0..<Self.contexts).map { number in
      let output = outputs[number % outputs.count]
      // Multiples of a large prime visit all places.
      let end = 1 + number * 7919 % output.count
      return requestLine(
        .speculate(
          Speculate(
            corpus: corpus, context: Array(output[max(0, end - Self.contextTokens)..<end]),
            options: DraftOptions(tree: number % 2 == 1))))
    }
  }

  /// The number of contexts with equal answers, and the number of drafts that are not empty.
  func run(_ first: LineConnection, _ second: LineConnection) -> (equal: Int, drafted: Int) {
    var (equal, drafted) = (0, 0)
    for line in lines {
      let one = first.ask(line)
      let other = second.ask(line)
      if one == other { equal += 1 }
      if one.contains("\"tokens\":[") && !one.contains("\"tokens\":[]") { drafted += 1 }
    }
    return (equal, drafted)
  }

  /// Adds the results to a report.
  func report(_ first: LineConnection, _ second: LineConnection, to report: inout Report) {
    let (equal, drafted) = run(first, second)
    report.add("contexts", Double(lines.count), "")
    report.add("contexts with a draft", Double(drafted), "")
    report.add(
      "drafts that are equal, byte for byte", Double(equal), "", .atLeast(Double(lines.count)))
  }
}
