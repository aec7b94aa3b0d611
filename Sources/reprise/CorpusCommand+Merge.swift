import ArgumentParser
import RepriseModel
import WireProtocol

extension CorpusCommand {
  struct Merge: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Add the sequences of one corpus to another, all or none.",
      discussion: """
        Sequences with an id that the other corpus already holds are skipped: as duplicates if the \
        tokens are the same, as conflicts if they are not. The source corpus stays unchanged. \
        Tokenizer and depth of both must be the same.

        EXAMPLES
          reprise corpus merge --from night --into demo --socket ./reprise.sock
        """)

    @OptionGroup var history: HistoryOptions
    @Option(help: "Corpus to read.", transform: corpusName) var from: CorpusName
    @Option(help: "Corpus to add to.", transform: corpusName) var into: CorpusName
    @Flag(help: "Print the result as JSON.") var json = false

    func validate() throws {
      if from == into {
        throw ValidationError(
          "--from and --into are both \"\(from)\", expected two corpora; nothing was done")
      }
    }

    func run() async throws {
      let (from, into) = (from, into)
      let merged = try await withHistory(history) { access in
        try await showingProgress("merging") { progress in
          try await access.mergeCorpus(from: from, into: into, progress: progress)
        }
      }
      if json {
        printJSON { merged.write(to: &$0) }
      } else {
        print(
          "\(merged.sequences) sequences with \(merged.tokens) tokens of \(from) added to \(into); "
            + "\(merged.duplicates) existed already, \(merged.conflicts) have ids of "
            + "sequences with other tokens")
      }
    }
  }
}
