import ArgumentParser
import Foundation
import RepriseModel

/// Accepted tokens of a batch whose drafts share a budget, beside the same number of tokens divided evenly
/// and beside one least probability for all.
struct BatchFrontier: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print accepted tokens a step of a batch, by the way in which its tokens are chosen.",
    discussion: """
      Decodes the records after the first --warm ones, --batch at a time, as a server would whose models \
      write exactly these. Each line of the output is the way, its setting, drafted and accepted tokens a \
      step of one session, in steps of a full batch. The ways: budget, tokens for all drafts of a step; \
      even, the same number divided evenly; single, one least probability.
      """)

  @Option(help: "Records that only become history.") var warm = 0
  @Option(help: "Records that are decoded.") var eval = 320
  @Option(help: "Sessions that are decoded together.") var batch = 64
  @Option(help: "Tokens of the prompt's end that precede each output in the history.")
  var leadIn = LeadIn.standard
  @Argument(help: "JSONL file.") var file: String

  func run() throws {
    let records = try readTrace(file)
    let (known, decoded) = (records.prefix(warm), records.dropFirst(warm).prefix(eval))
    func measure(_ choice: BatchDecoding.Choice, _ name: String) {
      let decoding = BatchDecoding(choice, batch: batch, leadIn: leadIn)
      for record in known { decoding.insert(record) }
      decoding.decode(decoded)
      func mean(_ count: Int) -> String {
        String(format: "%.4f", Double(count) / Double(max(decoding.steps, 1)))
      }
      print([name, mean(decoding.drafted), mean(decoding.accepted)].joined(separator: "\t"))
    }
    for tokens in [64, 128, 256, 512] {
      measure(.budget(tokens), "budget\t\(tokens)")
      measure(.even(tokens), "even\t\(tokens)")
    }
    for probability in [0.8, 0.6, 0.42, 0.3, 0.2, 0.13, 0.08, 0.045, 0.025, 0.013, 0.006] {
      measure(.single(probability), "single\t\(probability)")
    }
  }
}
