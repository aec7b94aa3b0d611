import ArgumentParser
import TreeService

@main
struct Reprise: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reprise",
    abstract: "The store behind model-free speculative decoding.",
    discussion: """
      Workers draft their next tokens from what all of them have written before. `serve` runs the
      store; the other commands talk to it through its socket, or use a store's directory at rest.

      EXAMPLES
        reprise serve --store /var/lib/reprise --socket /run/reprise.sock
        reprise corpus create qwen3-coder --socket /run/reprise.sock
        xz -dc trace.jsonl.xz | reprise insert --corpus qwen3-coder --socket /run/reprise.sock -
        reprise speculate --corpus qwen3-coder --socket /run/reprise.sock --tree 5 6 7
        xz -dc trace.jsonl.xz | reprise replay --warm 1000 --eval 200 -
      """,
    version: repriseVersion,
    subcommands: [
      Serve.self, Insert.self, SpeculateCommand.self, CorpusCommand.self, Replay.self, Sample.self,
    ])
}
