import Access
import ArgumentParser
import Files
import Foundation
import SystemPackage

struct TokenCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "token",
    abstract: "Control access to a service: create, list and revoke access tokens.",
    discussion: """
      The file holds each token's SHA-256 alone. A running service reads the file again on SIGHUP.

      EXAMPLES
        reprise token create --access tokens.json --name agents --corpora 'agents,sql-*' \\
            --rights draft,insert
        reprise token list --access tokens.json
        reprise token revoke --access tokens.json agents && systemctl reload reprise
      """,
    subcommands: [Create.self, List.self, Revoke.self])

  struct Create: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Create a token, and print it or write it to a file: it is shown only once.",
      discussion: """
        Rights: draft (drafts and statistics, and sessions that leave nothing behind), insert \
        (sessions that join the history, inserts, creating corpora), admin (dropping, merging, \
        forgetting, snapshots).

        EXAMPLES
          reprise token create --access tokens.json --name agents --corpora agents --output agents.token
          reprise token create --access tokens.json --name operator --rights draft,insert,admin
        """)

    @Option(help: "File of access tokens; created if it does not exist.")
    var access: String

    @Option(help: "Name of the holder, 1 to 64 bytes.")
    var name: String

    @Option(help: "Corpora, separated by commas; '*' at the end stands for any ending.")
    var corpora = "*"

    @Option(help: "One or more of draft, insert, admin, separated by commas.")
    var rights = "draft,insert"

    @Option(help: "File to write the token to, for its owner alone; it must not exist.")
    var output: String?

    @Option(help: "Requests a second; by default the service's limit.")
    var requestsPerSecond: Int?

    func validate() throws {
      if !(1...Grant.nameBytesMax).contains(name.utf8.count) {
        throw ValidationError(
          "--name has \(name.utf8.count) bytes, expected 1 to \(Grant.nameBytesMax)")
      }
      let range = Grant.requestsPerSecondRange
      if let requestsPerSecond, !range.contains(requestsPerSecond) {
        throw ValidationError(
          "--requests-per-second is \(requestsPerSecond), expected 1 to \(range.upperBound)")
      }
    }

    func run() throws {
      try reportingMistakes {
        let patterns = try corpora.split(separator: ",").map { text in
          guard let pattern = CorpusPattern(String(text)) else {
            throw ValidationError(
              "--corpora: \"\(text)\" is no corpus name; expected letters, digits, '.', '_', '-', "
                + "and optionally '*' at the end")
          }
          return pattern
        }
        let rights = try Rights(names: rights.split(separator: ",").map(String.init))
        let token = TokenDigest.newToken()
        if let output { try Self.write(token, to: output) }
        do {
          try AccessFile.add(
            AccessFile.Entry(
              grant: Grant(
                name: name, corpora: patterns, rights: rights, requestsPerSecond: requestsPerSecond
              ),
              digest: TokenDigest(token: token)),
            to: access)
        } catch {
          // A token without its entry would be useless, so it is not kept.
          if let output { try? Files.remove(output) }
          throw error
        }
        if output == nil { print(token) }
      }
    }

    /// Creates the file, which no other user can read at any moment.
    private static func write(_ token: String, to path: String) throws {
      let descriptor: FileDescriptor
      do {
        descriptor = try .opened(
          path, .writeOnly, [.create, .exclusiveCreate], permissions: .ownerReadWrite)
      } catch {
        let reason =
          error == .fileExists ? "it already exists; name another file, or remove it" : "\(error)"
        throw ExitCode.failure(saying: "--output \(path): \(reason)")
      }
      defer { try? descriptor.close() }
      do {
        try descriptor.writeAll("\(token)\n".utf8)
        try descriptor.sync()
      } catch {
        try? Files.remove(path)
        throw ExitCode.failure(saying: "--output \(path) cannot be written: \(error)")
      }
    }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "List the tokens with their holders and rights.",
      discussion: """
        EXAMPLE
          reprise token list --access tokens.json
        """)

    @Option(help: "File of access tokens.")
    var access: String

    func run() throws {
      try reportingMistakes {
        let rows = try AccessFile(path: access).entries.map { entry in
          [
            entry.grant.name, entry.grant.rights.names.joined(separator: ","),
            entry.grant.corpora.map(\.description).joined(separator: ","),
            entry.grant.requestsPerSecond.map { "\($0)" } ?? "-",
          ]
        }
        printTable(["name", "rights", "corpora", "requests a second"], rows)
      }
    }
  }

  struct Revoke: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Revoke a token.",
      discussion: """
        EXAMPLE
          reprise token revoke --access tokens.json agents
        """)

    @Option(help: "File of access tokens.")
    var access: String

    @Argument(help: "Name of the holder.")
    var name: String

    func run() throws {
      try reportingMistakes { try AccessFile.remove(name: name, from: access) }
    }
  }
}

private func reportingMistakes(_ body: () throws -> Void) throws {
  do {
    try body()
  } catch let mistake as AccessFile.Mistake {
    throw ExitCode.failure(saying: "\(mistake)")
  } catch let error as Rights.UnknownRight {
    throw ValidationError("--rights: \(error)")
  }
}
