import ArgumentParser
import Foundation
import RepriseModel
import WireProtocol

struct Forget: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Remove sequences permanently, by their ids.",
    discussion: """
      When it ends they are in no draft, in no later snapshot and not on disk. Older snapshots still \
      hold them, and are named. Ids that no sequence has are counted, and are not an error. \
      Removing many at once costs little more than removing one.

      EXAMPLES
        reprise forget --corpus demo --socket ./reprise.sock chat-17 chat-18
        reprise forget --corpus demo --store ./history --ids-from ids.txt
      """)

  @OptionGroup var history: HistoryOptions
  @Option(help: "Corpus to remove from.", transform: corpusName) var corpus: CorpusName
  @Option(help: "File of ids, one a line; - for standard input.") var idsFrom: String?
  @Flag(help: "Print the result as JSON.") var json = false
  @Argument(help: "Ids of sequences.") var ids: [String] = []

  func validate() throws {
    if ids.isEmpty && idsFrom == nil {
      throw ValidationError("no id is given; name ids, or a file of them with --ids-from FILE")
    }
    if let bad = ids.first(where: { !Self.isID($0) }) {
      throw ValidationError(
        "\"\(bad.prefix(64))\" is not an id, expected 1 to \(NewSequence.idBytesMax) bytes")
    }
  }

  func run() async throws {
    let corpus = corpus
    let ids = try await reportingErrors { try self.ids + (idsFrom.map(Self.read) ?? []) }
    let forgotten = try await withHistory(history) { access in
      try await showingProgress("forgetting") { _ in try await access.forget(ids, in: corpus) }
    }
    if json {
      printJSON { forgotten.write(to: &$0) }
      return
    }
    print(
      "\(forgotten.forgotten) sequences with \(forgotten.tokens) tokens are gone from \(corpus); "
        + "\(forgotten.missing) ids had no sequence")
    if !forgotten.olderSnapshots.isEmpty {
      print(
        "older snapshots that still hold their sequences: "
          + forgotten.olderSnapshots.joined(separator: ", "))
    }
  }

  private static func isID(_ text: String) -> Bool {
    (1...NewSequence.idBytesMax).contains(text.utf8.count)
  }

  /// Reads one id a line; empty lines are skipped.
  private static func read(_ path: String) throws -> [String] {
    let input = try LineInput(path)
    var ids: [String] = []
    while let id = try input.nextText() {
      guard isID(id) else {
        throw InputError(
          description: "\(input.place) is not an id, expected 1 to \(NewSequence.idBytesMax) bytes")
      }
      ids.append(id)
    }
    return ids
  }
}
