import ArgumentParser
import CorpusStore
import Foundation
import RepriseModel
import WireProtocol

struct SnapshotCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "snapshot", abstract: "Take, list, verify, delete and restore snapshots.",
    discussion: """
      A snapshot is one file with everything that a corpus keeps, and a digest of it. A store's \
      snapshots are in its directory, under snapshots/NAME.snapshot, and may be copied elsewhere.

      EXAMPLES
        reprise snapshot create --corpus demo --name monday --socket ./reprise.sock
        reprise snapshot list --store ./history
        reprise snapshot verify monday --socket ./reprise.sock
        reprise snapshot verify /backup/demo.snapshot
        reprise snapshot restore monday --corpus demo --replace --socket ./reprise.sock
        reprise snapshot restore --path ./demo.snapshot --corpus copy --store ./h
        reprise snapshot delete monday --socket ./reprise.sock
      """,
    subcommands: [Create.self, List.self, Verify.self, Delete.self, Restore.self])

  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Take a snapshot of a corpus.",
      discussion: """
        The corpus can be read and written in the meantime; the snapshot holds its state at one \
        moment, without the tokens of open sessions.

        EXAMPLES
          reprise snapshot create --corpus demo --socket ./reprise.sock
          reprise snapshot create --corpus demo --name monday --store ./history
        """)

    @OptionGroup var history: HistoryOptions
    @Option(help: "Corpus to take it from.", transform: corpusName) var corpus: CorpusName
    @Option(help: "Name: 1 to 128 letters, digits, '.', '_' or '-'. (default: corpus and time)")
    var name: String?
    @Flag(help: "Print the result as JSON.") var json = false

    func run() async throws {
      let (corpus, name) = (corpus, name)
      let taken = try await withHistory(history) { access in
        try await showingProgress("taking a snapshot") { progress in
          try await access.createSnapshot(of: corpus, named: name, progress: progress)
        }
      }
      taken.printed(asJSON: json)
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "List the snapshots in a store.",
      discussion: """
        Snapshots whose manifest cannot be read are left out; `reprise check` reports them.

        EXAMPLES
          reprise snapshot list --socket ./reprise.sock
          reprise snapshot list --corpus demo --json --store ./history
        """)

    @OptionGroup var history: HistoryOptions
    @Option(help: "List only those of this corpus.", transform: corpusName)
    var corpus: CorpusName?
    @Flag(help: "Print the result as JSON.") var json = false

    func run() async throws {
      let all = try await withHistory(history) { try await $0.snapshots() }
      let snapshots = all.filter { corpus == nil || $0.corpus == corpus }
      if json {
        printJSON { SnapshotList(snapshots: snapshots).write(to: &$0) }
        return
      }
      printTable(
        ["snapshot", "corpus", "sequences", "tokens", "size", "created"],
        snapshots.map { snapshot in
          [
            snapshot.name, snapshot.corpus.text, "\(snapshot.sequences)", "\(snapshot.tokens)",
            readable(bytes: snapshot.bytes), snapshot.created,
          ]
        })
    }
  }

  struct Verify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Read a whole snapshot and compare it with its digest.",
      discussion: """
        Exits with 0 if all of it is as it was written, and with 1 otherwise. This command reads \
        the file itself; with --socket the service reads it.

        EXAMPLES
          reprise snapshot verify monday --store ./history
          reprise snapshot verify /backup/demo.snapshot
        """)

    @OptionGroup var history: HistoryOptions
    @OptionGroup var snapshot: SnapshotArguments
    @Flag(help: "Print the result as JSON.") var json = false

    func run() async throws {
      let reference = snapshot.reference
      let verified: SnapshotDescription
      if case .file = reference, !history.namesService {
        // It needs no store; an empty one provides the reader.
        verified = try await reportingErrors {
          let temporary = TemporaryStore()
          defer { temporary.remove() }
          let access = StoreAccess(try Store(path: temporary.path))
          defer { access.store.close() }
          return try await Self.verify(reference, access)
        }
      } else {
        verified = try await withHistory(history) { try await Self.verify(reference, $0) }
      }
      verified.printed(asJSON: json)
    }

    private static func verify(
      _ reference: SnapshotReference, _ access: any HistoryAccess
    ) async throws -> SnapshotDescription {
      try await showingProgress("verifying") { progress in
        try await access.verifySnapshot(reference, progress: progress)
      }
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Delete a snapshot from a store permanently.",
      discussion: """
        EXAMPLES
          reprise snapshot delete monday --socket ./reprise.sock
        """)

    @OptionGroup var history: HistoryOptions
    @Argument(help: "Name of a snapshot in the store.") var snapshot: String
    @Flag(help: "Print the result as JSON.") var json = false

    func run() async throws {
      let snapshot = snapshot
      try await withHistory(history) { try await $0.deleteSnapshot(snapshot) }
      if json {
        printJSON { SnapshotDeleted(deleted: true).write(to: &$0) }
      } else {
        print("snapshot \(snapshot) deleted")
      }
    }
  }

  struct Restore: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Verify a snapshot and create a corpus from it, completely or not at all.",
      discussion: """
        With --replace it replaces an existing corpus, whose retention and durability stay \
        unchanged; sessions over it continue. Data of that corpus that the snapshot does not hold is lost.

        EXAMPLES
          reprise snapshot restore monday --corpus demo --replace --socket ./reprise.sock
          reprise snapshot restore --path ./demo.snapshot --corpus copy --store ./h
        """)

    @OptionGroup var history: HistoryOptions
    @OptionGroup var snapshot: SnapshotArguments
    @Option(
      name: [.customLong("corpus"), .customLong("into")],
      help: "Name of the corpus to create.", transform: corpusName)
    var corpus: CorpusName
    @Flag(help: "Replace the corpus of that name.") var replace = false
    @Flag(help: "Print the result as JSON.") var json = false

    func run() async throws {
      let (reference, corpus, replace) = (snapshot.reference, corpus, replace)
      let stats = try await withHistory(history) { access in
        try await showingProgress("restoring") { progress in
          try await access.restore(
            reference, into: corpus, replacing: replace, progress: progress)
        }
      }
      if json {
        printJSON { stats.write(to: &$0) }
      } else {
        print(
          "corpus \(stats.corpus) is restored, with \(stats.sequences) sequences and "
            + "\(stats.tokens) tokens")
      }
    }
  }
}

/// A snapshot in the store, or a file.
struct SnapshotArguments: ParsableArguments {
  @Argument(
    help: "Name of a snapshot in the store. A value with a '/', or ending in .snapshot, is a file.")
  var snapshot: String?

  @Option(help: "File of a snapshot, with any name.") var path: String?

  func validate() throws {
    if snapshot == nil && path == nil {
      throw ValidationError("no snapshot is named; give its name, or a file with --path FILE")
    }
    if let snapshot, path != nil {
      throw ValidationError(
        "both the snapshot \"\(snapshot)\" and --path are given; give one of them")
    }
  }

  /// Paths are made absolute: a service may have another working directory.
  var reference: SnapshotReference {
    if let path { return .file(path: absolute(path)) }
    let name = snapshot ?? ""
    return name.contains("/") || name.hasSuffix(".snapshot")
      ? .file(path: absolute(name)) : .named(name)
  }

  private func absolute(_ path: String) -> String {
    path.hasPrefix("/") ? path : "\(FileManager.default.currentDirectoryPath)/\(path)"
  }
}

extension SnapshotDescription {
  fileprivate var created: String {
    Date(timeIntervalSince1970: Double(createdSeconds)).ISO8601Format()
  }

  fileprivate func printed(asJSON json: Bool) {
    if json {
      printJSON { write(to: &$0) }
      return
    }
    printTable(
      ["snapshot", name],
      [
        ["corpus", corpus.text], ["sequences", "\(sequences)"], ["tokens", "\(tokens)"],
        ["size", readable(bytes: bytes)], ["created", created], ["digest", digest],
      ])
  }
}
