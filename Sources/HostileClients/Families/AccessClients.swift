import RepriseModel
import TestSupport

/// Clients of a service with an access file: without a token, with a wrong one, or trying to reach
/// others' data.
enum AccessClients {
  static let all: [HostileClient] = [
    HostileClient("calls without an access token", .answered("unauthorized"), on: .guarded) {
      try $0.connect(presentingToken: false)
        .ask(list(request("corpus.stats", "{\(prey)}"), 1000, separator: "\n"))
    },
    HostileClient("1,000 tokens that are not known", .answered("unauthorized"), on: .guarded) {
      let lines = (0..<1000).map { number in
        request("server.authenticate", "{\"token\":\"rp_guess\(number)\"}")
      }
      return try $0.connect(presentingToken: false).ask(lines.joined(separator: "\n"))
    },
    HostileClient(
      "connecting, and no token", .answeredAndClosed("unauthorized"), on: .guarded
    ) { try $0.connect(presentingToken: false).untilClosed() },
    HostileClient(
      "a line of 64 KB without an access token", .exceedsAndCloses("line_bytes"), on: .guarded
    ) {
      try $0.connect(presentingToken: false)
        .exchange([UInt8](repeating: UInt8(ascii: "a"), count: 1 << 17)).outcome
    },
    HostileClient("guessing names of others' corpora", .answered("corpus_not_found"), on: .guarded)
    {
      let connection = try $0.connect()
      var answers: Set<String> = []
      for name in [Target.othersCorpus.text, "none"] {
        for (method, more) in [
          ("corpus.stats", ""), ("speculate", ",\"context\":[1]"),
          ("session.open", ",\"prompt\":[]"),
          ("sequence.insert", ",\"sequences\":[{\"tokens\":[1]}]"),
        ] {
          connection.send(request(method, "{\"corpus\":\"\(name)\"\(more)}") + "\n")
          answers.insert(connection.line()?.replacing(name, with: "") ?? "closed")
        }
      }
      // Existing and missing things are answered alike.
      guard answers.count == 1 else { return .other("\(answers)") }
      return try connection.ask(request("corpus.stats", "{\"corpus\":\"\(Target.othersCorpus)\"}"))
    },
    HostileClient("steps of others' sessions", .answered("session_not_found"), on: .guarded) {
      try $0.ask(sessionStep(list(step(Target.othersCorpus.text), 1000)))
    },
    HostileClient("dropping others' corpora", .answered("corpus_not_found"), on: .guarded) {
      try $0.ask(corpusDrop(Target.othersCorpus.text))
    },
    HostileClient("reading files by their paths", .answered("unauthorized"), on: .guarded) {
      try $0.call("snapshot.verify", "{\"path\":\"/etc/passwd\"}")
    },
  ]
}
