import ArgumentParser
import RepriseModel
import WireProtocol

extension CorpusCommand {
  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Create a corpus; no error if it exists with the same settings.",
      discussion: """
        Without --keep-… all history is kept. With any of them the oldest sequences leave when the \
        history passes a bound, by an eighth of it at a time. --durability interval answers inserts \
        before they are on disk, and a crash may lose those of the last --durability-ms.

        EXAMPLES
          reprise corpus create demo --socket ./reprise.sock
          reprise corpus create chat --keep-tokens 100000000 --keep-age 30d --store ./h
          reprise corpus create fast --durability interval --store ./h
        """)

    @OptionGroup var history: HistoryOptions
    @Argument(help: "Name: 1 to 64 letters, digits, '.', '_' or '-'.", transform: corpusName)
    var name: CorpusName
    @Option(help: "Name of the tokenizer; inserts that name another are refused.")
    var tokenizer: String?
    @Option(help: "Longest pattern whose count is kept, in tokens, 2 to 127.")
    var depth = Depth.standard
    @Option(help: "The most tokens that are kept.") var keepTokens: Int?
    @Option(help: "The most sequences that are kept.") var keepSequences: Int?
    @Option(help: "The longest time that a sequence is kept: 90 (seconds), 90s, 15m, 36h, 30d.")
    var keepAge: String?
    @Option(help: "The moment of answering inserts: commit (on disk), or interval (before).")
    var durability = "commit"
    @Option(help: "Milliseconds until they are on disk, with interval only. (default: 100)")
    var durabilityMs: Int?
    @Option(help: "Bound of token ids: others are refused, and never drafted.") var vocabulary: Int?
    @Option(help: "Prompt tokens that are kept before each output, 0 to 64; 0 keeps none.")
    var leadIn = LeadIn.standard
    @Option(
      name: .customLong("end-id"),
      help: "A token id with which outputs end: nothing after it is kept, or drafted. At most 8.")
    var endIDs: [Int32] = []
    @Flag(help: "Print the result as JSON.") var json = false

    func validate() throws {
      try Self.check("--depth", depth, Depth.range)
      try Self.check("--keep-tokens", keepTokens, Retention.tokensRange)
      try Self.check("--keep-sequences", keepSequences, Retention.sequencesRange)
      if let keepAge {
        guard let seconds = Age.seconds(keepAge) else {
          throw ValidationError(
            "--keep-age is \"\(keepAge)\", expected seconds or a number with s, m, h or d, such as "
              + "36h or 30d")
        }
        try Self.check("--keep-age in seconds", seconds, Retention.ageSecondsRange)
      }
      if !["commit", "interval"].contains(durability) {
        throw ValidationError("--durability is \"\(durability)\", expected commit or interval")
      }
      if durability == "commit", durabilityMs != nil {
        throw ValidationError(
          "--durability-ms is allowed only with --durability interval; give both, or neither")
      }
      try Self.check("--vocabulary", vocabulary, Vocabulary.range)
      try Self.check("--lead-in", leadIn, LeadIn.range)
      if EndIDs(endIDs) == nil {
        throw ValidationError(
          "--end-id is \(endIDs), expected at most \(EndIDs.countMax) ids of 0 or more")
      }
      try Self.check("--durability-ms", durabilityMs, Durability.millisRange)
    }

    private static func check(_ name: String, _ value: Int?, _ range: ClosedRange<Int>) throws {
      if let value, !range.contains(value) {
        throw ValidationError(
          "\(name) is \(value), expected \(range.lowerBound) to \(range.upperBound)")
      }
    }

    func run() async throws {
      let settings = CorpusSettings(
        depth: depth, tokenizer: tokenizer,
        retention: Retention(
          tokens: keepTokens, sequences: keepSequences, ageSeconds: keepAge.flatMap(Age.seconds)),
        durability: durability == "interval"
          ? .interval(millis: durabilityMs ?? Durability.millisDefault) : .commit,
        vocabulary: vocabulary, leadIn: leadIn, endIDs: EndIDs(endIDs) ?? EndIDs())
      let call = CorpusCreate(corpus: name, settings: settings)
      let corpus = try await withHistory(history) { try await $0.createCorpus(call) }
      if json {
        printJSON { corpus.write(to: &$0) }
      } else {
        let settings = corpus.settings
        print(
          "corpus \(corpus.corpus) exists, with depth \(settings.depth); keeps "
            + "\(settings.retention.text), durability \(settings.durability.text)")
      }
    }
  }
}

extension Retention {
  /// The bounds, for people.
  var text: String {
    let bounds = [
      tokens.map { "\($0) tokens" }, sequences.map { "\($0) sequences" },
      ageSeconds.map { "sequences younger than \(Age.text(seconds: $0))" },
    ].compactMap { $0 }
    return bounds.isEmpty ? "everything" : "at most " + bounds.joined(separator: ", ")
  }
}

extension Durability {
  /// The durability, for people.
  var text: String { mode + (millis.map { ", \($0) ms" } ?? "") }
}
