import ArgumentParser
import Concurrency
import RepriseClient
import RepriseModel
import WireProtocol

struct CallCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "call", abstract: "Send a request of the protocol as it is, and print the result.",
    discussion: """
      docs/guide/protocol.md lists the methods and their members. With - in place of a method, \
      lines are read from standard input and sent unchanged; each line of the answers is printed.

      EXIT STATUS
        0 answered with a result        64 the request is wrong    65 it conflicts with the data
        66 it names something missing   69 no service              70 the service failed
        74 the disk is full or damaged  75 busy: send it again     77 not authorized
        With - the status is that of the first error.

      EXAMPLES
        reprise call server.info --socket ./reprise.sock
        reprise call speculate '{"corpus":"demo","context":[5,6]}' --socket ./reprise.sock
        reprise call - --socket ./reprise.sock < requests.jsonl
      """)

  @OptionGroup var history: HistoryOptions
  @Argument(help: "Method, such as server.info; - reads lines from standard input.")
  var method: String
  @Argument(help: "The members of params, as a JSON object.") var params: String?

  func validate() throws {
    if history.store != nil {
      throw ValidationError("a store at rest answers no requests; name a service, --socket PATH")
    }
    if method == "-" && params != nil {
      throw ValidationError("- reads whole requests from standard input; leave the members out")
    }
  }

  func run() async throws {
    guard let client = try history.service()?.client else {
      throw ValidationError("name a service with --socket PATH, or --connect HOST:PORT")
    }
    let requests = try Requests(
      method: method, params: params, token: client.configuration.accessToken)
    let reader = ResponseReader(lineBytesMax: client.configuration.lineBytesMax)
    var failure: WireError?
    try await reportingUnavailable {
      try await client.exchangeLines {
        try requests.next()
      } receive: { line in
        var answer: (id: RequestID, error: WireError?)?
        // A line that is not a single answer, such as that of a batch, is printed unchanged.
        try? unsafe reader.read(line.span.bytes) { id, result in
          if case .failure(let error) = result { answer = (id, error) } else { answer = (id, nil) }
        }
        failure = failure ?? answer?.error
        if answer?.id == Requests.tokenID { return }
        if method == "-" || answer == nil {
          printLine(line[...])
        } else if answer?.error == nil {
          printLine(Requests.result(in: line))
        }
      }
    }
    await client.close()
    if let failure {
      // With "-" the error itself has been printed.
      if method == "-" { throw ExitCode(failure.kind.exitStatus) }
      throw ExitCode(failure.kind.exitStatus, saying: "\(failure)")
    }
  }

  /// Exits with 69 if there is no service.
  private func reportingUnavailable(_ body: () async throws -> Void) async throws {
    do {
      try await body()
    } catch let error as ClientError {
      throw ExitCode(69, saying: "\(error)")
    } catch let error as InputError {
      throw ExitCode.failure(saying: "\(error)")
    }
  }

  private func printLine(_ line: ArraySlice<UInt8>) {
    print(String(decoding: line, as: UTF8.self))
  }
}

/// The lines that are sent.
private final class Requests: Sendable {
  private struct State {
    var lines: [[UInt8]] = []
    /// nil if there is nothing to read.
    var input: LineInput?
  }
  private let state: Locked<State>

  static let tokenID = RequestID.string("token")
  /// The bytes before the result in the answer to the one request.
  private static let beginning = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":"

  init(method: String, params: String?, token: String?) throws {
    var lines: [[UInt8]] = []
    if let token {
      var writer = JSONWriter()
      Request(
        id: Self.tokenID, call: .serverAuthenticate(ServerAuthenticate(token: token))
      ).write(to: &writer)
      lines.append(Array(writer.bytes.dropLast()))
    }
    if method == "-" {
      state = Locked(State(lines: lines, input: try LineInput("-")))
      return
    }
    var writer = JSONWriter()
    writer.beginObject()
    writer.name("jsonrpc")
    writer.string("2.0")
    writer.name("id")
    writer.integer(1)
    writer.name("method")
    writer.string(method)
    writer.name("params")
    // A newline would end the request; in JSON a space is equivalent.
    writer.json((params ?? "{}").utf8.map { $0 == UInt8(ascii: "\n") ? UInt8(ascii: " ") : $0 })
    writer.endObject()
    lines.append(writer.bytes)
    state = Locked(State(lines: lines))
  }

  func next() throws -> [UInt8]? {
    try state.withLock { state in
      if !state.lines.isEmpty { return state.lines.removeFirst() }
      return try state.input?.nextText().map { [UInt8]($0.utf8) }
    }
  }

  /// The result in the answer to the one request.
  static func result(in line: [UInt8]) -> ArraySlice<UInt8> {
    line.starts(with: beginning.utf8) ? line.dropFirst(beginning.utf8.count).dropLast() : line[...]
  }
}

extension ErrorKind {
  /// The exit status of an error, as in sysexits.h.
  fileprivate var exitStatus: Int32 {
    switch self {
    case .parseError, .invalidRequest, .methodNotFound, .invalidParams: 64
    case .corpusExists, .conflict, .limitExceeded, .tokenizerMismatch, .readOnly: 65
    case .corpusNotFound, .sessionNotFound, .snapshotNotFound: 66
    case .internalError: 70
    case .storageFull, .corrupt: 74
    case .busy: 75
    case .unauthorized: 77
    }
  }
}
