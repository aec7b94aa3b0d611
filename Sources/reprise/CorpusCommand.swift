import ArgumentParser
import RepriseModel
import WireProtocol

struct CorpusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "corpus", abstract: "Create, list, show, merge and drop corpora.",
    discussion: """
      EXAMPLES
        reprise corpus create qwen3-coder --socket ./reprise.sock
        reprise corpus list --socket ./reprise.sock
        reprise corpus stats qwen3-coder --json --store ./history
        reprise corpus merge --from night --into qwen3-coder --socket ./reprise.sock
        reprise corpus drop qwen3-coder --confirm qwen3-coder --store ./history
      """,
    subcommands: [List.self, Create.self, Stats.self, Merge.self, Drop.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List all corpora.")

    @OptionGroup var history: HistoryOptions
    @Flag(help: "Print the result as JSON.") var json = false

    func run() async throws {
      let corpora = try await withHistory(history) { try await $0.corpora() }
      if json {
        printJSON { CorpusList(corpora: corpora).write(to: &$0) }
        return
      }
      printTable(
        ["corpus", "sequences", "tokens", "segments", "on disk", "in memory", "bytes/token"],
        corpora.map { corpus in
          [
            corpus.corpus.text, "\(corpus.sequences)", "\(corpus.tokens)", "\(corpus.segments)",
            readable(bytes: corpus.bytesOnDisk), readable(bytes: corpus.bytesInMemory),
            fixed(corpus.bytesPerToken, 1),
          ]
        })
    }
  }

  struct Stats: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show the statistics of one corpus.")

    @OptionGroup var history: HistoryOptions
    @Argument(transform: corpusName) var name: CorpusName
    @Flag(help: "Print the result as JSON.") var json = false

    func run() async throws {
      let name = name
      let stats = try await withHistory(history) { try await $0.stats(name) }
      if json {
        printJSON { stats.write(to: &$0) }
        return
      }
      printTable(
        ["corpus", stats.corpus.text],
        [
          ["tokenizer", stats.settings.tokenizer ?? "not set"],
          ["depth", "\(stats.settings.depth)"],
          ["vocabulary", stats.settings.vocabulary.map { "ids below \($0)" } ?? "not set"],
          ["keeps", stats.settings.retention.text], ["durability", stats.settings.durability.text],
          [
            "outputs end with",
            stats.settings.endIDs.isEmpty
              ? "any token"
              : stats.settings.endIDs.list.map(String.init).joined(separator: ", "),
          ],
          ["prompt tokens kept before an output", "\(stats.settings.leadIn)"],
          ["sequences", "\(stats.sequences)"], ["tokens", "\(stats.tokens)"],
          ["of them prompt tokens", "\(stats.leadInTokens)"],
          ["tokens of open sessions", "\(stats.openTokens)"], ["sessions", "\(stats.sessions)"],
          ["segments", "\(stats.segments)"],
          ["segments that wait for memory to be merged", "\(stats.segmentsWaiting)"],
          ["on disk", readable(bytes: stats.bytesOnDisk)],
          ["in memory", readable(bytes: stats.bytesInMemory)],
          ["bytes a token", fixed(stats.bytesPerToken, 1)],
          ["sequences not on disk yet", "\(stats.unsavedSequences)"],
        ])
      for damage in stats.damage { print("damaged: \(damage)") }
    }
  }

  struct Drop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Remove a corpus and its file permanently.")

    @OptionGroup var history: HistoryOptions
    @Argument(transform: corpusName) var name: CorpusName
    @Option(help: "The corpus's name again.") var confirm: String
    @Flag(help: "Print the result as JSON.") var json = false

    func validate() throws {
      if confirm != name.text {
        throw ValidationError("--confirm is \"\(confirm)\", expected \"\(name)\"; nothing was done")
      }
    }

    func run() async throws {
      let name = name
      let dropped = try await withHistory(history) { try await $0.dropCorpus(name) }
      if !dropped { throw ExitCode.failure(saying: "there is no corpus \"\(name)\"") }
      if json {
        printJSON { CorpusDropped(dropped: dropped).write(to: &$0) }
      } else {
        print("corpus \(name) dropped")
      }
    }
  }
}
