import ArgumentParser
import RepriseModel

@main
struct Reprise: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reprise",
    abstract: "The store behind model-free speculative decoding.",
    discussion: """
      Workers draft their next tokens from the earlier outputs of all of them. `serve` runs the \
      store; the other commands talk to it through its socket, or use a store that is not served.

      EXAMPLES
        reprise serve --store ./history --socket ./reprise.sock
        export REPRISE_SOCKET=./reprise.sock
        reprise corpus create qwen3-coder
        xz -dc trace.jsonl.xz | reprise insert --corpus qwen3-coder -
        reprise speculate --corpus qwen3-coder --tree 5 6 7
        xz -dc trace.jsonl.xz | reprise replay --warm 1000 --eval 200 -
        reprise snapshot create --corpus qwen3-coder
        reprise top
        reprise check --store ./history
      """,
    version: repriseVersion,
    subcommands: [
      Serve.self, Insert.self, Forget.self, SpeculateCommand.self, CorpusCommand.self,
      SnapshotCommand.self, CallCommand.self, Top.self, TokenCommand.self, Check.self, Replay.self,
      Sample.self,
    ])
}
