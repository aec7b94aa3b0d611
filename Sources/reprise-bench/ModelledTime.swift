import ArgumentParser
import Foundation
import RepriseModel
import TestSupport
import ToolSupport

/// The time a token that a batch takes by a model of the cost of verification, with drafts and without.
struct ModelledTime: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Print the modelled time of a token by batch size, relative to decoding without drafts.",
    discussion: """
      Decodes the records after the first --warm ones, as many at a time as the batch has sequences. A \
      step of n tokens, one for each sequence and the drafted ones, takes the time that --costs gives for n: \
      JSON, [[tokens, time], …]. Each line of the output is the batch size; the relative time of a token \
      where a tree of the tokens with a probability of at least 0.1 is verified, whatever it costs; that \
      where tokens are chosen by their cost; and the drafted and accepted tokens of a session's step in the \
      second case. Only steps of full batches count.
      """)

  @Option(help: "JSON file of measured times.") var costs: String
  @Option(help: "Records that only become history.") var warm = 0
  @Option(help: "Records that are decoded.") var eval = 1024
  @Option(help: "Sequences of the batch; may be repeated.") var batch: [Int] = [1, 4, 16, 64, 256]
  @Option(help: "Tokens of the prompt's end that precede each output in the history.")
  var leadIn = LeadIn.standard
  @Argument(help: "JSONL file.") var file: String

  /// A point of the table, as an array.
  private struct Row: Decodable {
    let point: VerifyCost.Point

    init(from decoder: any Decoder) throws {
      var row = try decoder.unkeyedContainer()
      point = VerifyCost.Point(
        tokens: try row.decode(Int.self), time: try row.decode(Double.self))
    }
  }

  func run() throws {
    let rows = try JSONDecoder().decode(
      [Row].self, from: Data(contentsOf: URL(filePath: costs)))
    guard let cost = VerifyCost(points: rows.map(\.point)) else {
      throw ToolError(
        "\(costs): expected [[tokens, time], …], rising in tokens, not falling in time")
    }
    let records = try readTrace(file)
    let (known, decoded) = (records.prefix(warm), records.dropFirst(warm).prefix(eval))
    for batch in batch {
      func decode(_ choice: BatchDecoding.Choice) -> BatchDecoding {
        let decoding = BatchDecoding(choice, cost: cost, batch: batch, leadIn: leadIn)
        for record in known { decoding.insert(record) }
        decoding.decode(decoded)
        return decoding
      }
      let without = decode(.nothing)
      let fixed = decode(.single(0.1))
      let chosen = decode(.byCost(cost))
      let steps = Double(max(chosen.steps, 1))
      let figures = [
        fixed.timePerToken / without.timePerToken, chosen.timePerToken / without.timePerToken,
        Double(chosen.drafted) / steps,
        Double(chosen.accepted) / steps,
      ]
      print(
        (["\(batch)"] + figures.map { String(format: "%.3f", $0) }).joined(separator: "\t"))
    }
  }
}
