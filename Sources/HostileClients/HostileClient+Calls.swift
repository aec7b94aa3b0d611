import Foundation
import RepriseModel
import TestSupport
import WireProtocol

/// Calls for things that are missing, not allowed, or too large.
extension HostileClient {
  static let calls = wrongCalls + largeCalls + sessions + history + files

  static let prey = "\"corpus\":\"\(Target.corpus)\""

  private static func speculate(_ target: Target, _ context: String, _ more: String = "") throws
    -> Outcome
  { try target.call("speculate", "{\(prey),\"context\":[\(context)]\(more)}") }

  private static let wrongCalls: [HostileClient] = [
    HostileClient("a corpus ../../etc/passwd", .answered("invalid_params")) {
      try $0.call("corpus.create", "{\"corpus\":\"../../etc/passwd\"}")
    },
    HostileClient("a corpus of 65 letters", .exceeds("corpus_name_bytes")) {
      try $0.call("corpus.create", "{\"corpus\":\"\(String(repeating: "c", count: 65))\"}")
    },
    HostileClient("the token −1", .answered("invalid_params")) { try speculate($0, "1,-1") },
    HostileClient("the token 2³¹ − 1", .answered("invalid_params")) {
      try speculate($0, "1,2147483647")
    },
    HostileClient("the token 1e300", .answered("invalid_params")) { try speculate($0, "1,1e300") },
    HostileClient("the token 1.5", .answered("invalid_params")) { try speculate($0, "1,1.5") },
    HostileClient("the token \"7\"", .answered("invalid_params")) { try speculate($0, "1,\"7\"") },
    HostileClient("max_tokens 2⁶³", .answered("invalid_params")) {
      try speculate($0, "1", ",\"max_tokens\":9223372036854775808")
    },
    HostileClient("max_tokens beyond its limit", .exceeds("max_tokens")) {
      try speculate($0, "1", ",\"max_tokens\":\($0.limits.draftTokensMax + 1)")
    },
    HostileClient("min_probability −1", .answered("invalid_params")) {
      try speculate($0, "1", ",\"min_probability\":-1")
    },
    HostileClient("min_probability 1e999", .answered("invalid_params")) {
      try speculate($0, "1", ",\"min_probability\":1e999")
    },
    HostileClient("dropping without confirming", .answered("invalid_params")) {
      try $0.call("corpus.drop", "{\"corpus\":\"\(Target.othersCorpus)\"}")
    },
  ]

  private static let largeCalls: [HostileClient] = [
    HostileClient("more than context_tokens", .exceeds("context_tokens")) {
      try speculate($0, list("7", $0.limits.contextTokensMax + 1))
    },
    HostileClient("context_tokens, again and again", .served) { target in
      let line = request(
        "speculate", "{\(prey),\"context\":[\(list("7", target.limits.contextTokensMax))]}")
      return try target.ask(list(line, 4, separator: "\n"))
    },
    HostileClient("more than contexts", .exceeds("contexts")) {
      try $0.call("speculate", "{\(prey),\"contexts\":[\(list("[7]", $0.limits.contextsMax + 1))]}")
    },
    HostileClient("4,096 contexts at once, again and again", .served) { target in
      let line = request(
        "speculate", "{\(prey),\"contexts\":[\(list("[5,6,7]", target.limits.contextsMax))]}")
      return try target.ask(list(line, 4, separator: "\n"))
    },
    HostileClient("trees of 1,024 tokens at probability 0", .served) { target in
      let line = request("speculate", "{\(prey),\"context\":[5],\(wholeTree(target))}")
      return try target.ask(list(line, 100, separator: "\n"))
    },
    HostileClient("4,096 such trees in a request", .exceeds("answer_bytes")) { target in
      let contexts = list("[5]", target.limits.contextsMax)
      return try target.call(
        "speculate", "{\(prey),\"contexts\":[\(contexts)],\(wholeTree(target))}")
    },
    HostileClient("an array of 1,024 such requests", .exceeds("answer_bytes")) { target in
      let contexts = list("[5]", target.limits.contextsMax)
      let line = request("speculate", "{\(prey),\"contexts\":[\(contexts)],\(wholeTree(target))}")
      let count = min(
        target.limits.batchRequestsMax, target.limits.lineBytesMax / (line.utf8.count + 1))
      return try target.ask("[\(list(line, count))]", answers: 1)
    },
    HostileClient("metrics, again and again", .served) {
      try $0.ask(list(request("server.metrics"), 50, separator: "\n"))
    },
    HostileClient("lists of all corpora, again and again", .served) {
      try $0.ask(list(request("corpus.list"), 500, separator: "\n"))
    },
    HostileClient("limits, again and again", .served) {
      try $0.ask(list(request("server.info"), 1000, separator: "\n"))
    },
  ]

  /// Draft options that return as much as possible.
  private static func wholeTree(_ target: Target) -> String {
    "\"tree\":true,\"min_probability\":0,\"max_factor\":1000000,"
      + "\"max_tokens\":\(target.limits.draftTokensMax)"
  }

  /// Opens a session with a name on a connection.
  static func open(_ name: String? = nil, prompt: String = "") -> String {
    let session = name.map { ",\"session\":\"\($0)\"" } ?? ""
    return request("session.open", "{\(prey)\(session),\"prompt\":[\(prompt)]}")
  }

  static func step(_ name: String, accept: String = "", _ more: String = "") -> String {
    "{\"session\":\"\(name)\",\"accept\":[\(accept)]\(more)}"
  }

  private static func close(_ name: String, record: Bool = false) -> String {
    request("session.close", "{\"session\":\"\(name)\",\"record\":\(record)}")
  }

  private static let sessions: [HostileClient] = [
    HostileClient("steps of sessions that never were", .answered("session_not_found")) { target in
      let steps = list(step("never", accept: "1"), target.limits.stepsMax)
      return try target.call("session.step", "{\"steps\":[\(steps)]}")
    },
    HostileClient("a step of a session whose name is too long", .exceeds("session_name_bytes")) {
      let name = String(repeating: "s", count: $0.limits.sessionNameBytesMax + 1)
      return try $0.call("session.step", "{\"steps\":[\(step(name))]}")
    },
    HostileClient("more than steps", .exceeds("steps")) {
      try $0.call("session.step", "{\"steps\":[\(list(step("s"), $0.limits.stepsMax + 1))]}")
    },
    HostileClient("one session 1,000 times in a line", .served) { target in
      let name = Target.uniqueName()
      let steps = list(step(name, accept: "5,6,7"), 1000)
      return try target.ask(
        "\(open(name))\n\(request("session.step", "{\"steps\":[\(steps)]}"))\n\(close(name))")
    },
    HostileClient("accepting more than accept_tokens", .exceeds("accept_tokens")) {
      let tokens = list("1", $0.limits.acceptTokensMax + 1)
      return try $0.call("session.step", "{\"steps\":[\(step("s", accept: tokens))]}")
    },
    HostileClient("sessions without end", .exceeds("connection_sessions")) { target in
      try untilRefused(target.connect()) { open() }
    },
    HostileClient("text of sessions without end", .exceeds("connection_session_tokens")) { target in
      let prompt = list("7", min(100_000, target.limits.promptTokensMax))
      return try untilRefused(target.connect()) { open(prompt: prompt) }
    },
    HostileClient("a session's name that is taken", .answered("conflict")) { target in
      let connection = try target.connect()
      let name = Target.uniqueName()
      guard try connection.ask(open(name)) == .served else { throw ToolError("no session") }
      let outcome = try connection.ask(open(name))
      _ = try connection.ask(close(name))
      return outcome
    },
    HostileClient("a parent that is not there", .served) {
      try $0.call("session.open", "{\(prey),\"prompt\":[7],\"parent\":\"nobody\"}")
    },
    HostileClient("a lease that ends in 10,000 years", .answered("invalid_params")) {
      try $0.call("session.open", "{\(prey),\"prompt\":[],\"ttl_s\":315360000000}")
    },
    HostileClient("more than prompt_tokens", .exceeds("prompt_tokens")) {
      try $0.ask(open(prompt: list("7", $0.limits.promptTokensMax + 1)))
    },
    HostileClient("prompts of 100,000 tokens, again and again", .served) { target in
      let prompt = (0..<min(100_000, target.limits.promptTokensMax)).map { "\($0 % 5003)" }
      return try target.ask(list(open(prompt: prompt.joined(separator: ",")), 4, separator: "\n"))
    },
  ]

  static func insert(_ sequences: String) -> String {
    request("sequence.insert", "{\(prey),\"sequences\":[\(sequences)]}")
  }

  private static let history: [HostileClient] = [
    HostileClient("an id again, with other tokens", .answered("conflict")) { target in
      let name = Target.uniqueName()
      guard try target.ask(insert("{\"id\":\"\(name)\",\"tokens\":[1]}")) == .served else {
        throw ToolError("nothing was inserted")
      }
      return try target.ask(insert("{\"id\":\"\(name)\",\"tokens\":[2]}"))
    },
    HostileClient("more than sequences", .exceeds("sequences")) {
      try $0.ask(insert(list("{\"tokens\":[7]}", $0.limits.sequencesMax + 1)))
    },
    HostileClient("more than sequence_tokens", .exceeds("sequence_tokens")) {
      try $0.ask(insert("{\"tokens\":[\(list("7", $0.limits.sequenceTokensMax + 1))]}"))
    },
    HostileClient("one token, a million times", .served) {
      try $0.ask(insert("{\"tokens\":[\(list("7", min(1_000_000, $0.limits.sequenceTokensMax)))]}"))
    },
    HostileClient("10,000 inserts at once", .served) {
      try $0.ask(list(insert("{\"tokens\":[7,8,9]}"), 10_000, separator: "\n"))
    },
    HostileClient("corpora without end", .exceeds("corpora")) { target in
      let connection = try target.connect()
      var made: [String] = []
      let outcome = try untilRefused(connection) {
        made.append(Target.uniqueName())
        return request("corpus.create", "{\"corpus\":\"\(made[made.count - 1])\"}")
      }
      for name in made.dropLast() {
        _ = try connection.ask(
          request("corpus.drop", "{\"corpus\":\"\(name)\",\"confirm\":\"\(name)\"}"))
      }
      return outcome
    },
    HostileClient("more than forget_ids", .exceeds("forget_ids")) {
      try $0.call(
        "sequence.forget", "{\(prey),\"ids\":[\(list("\"a\"", $0.limits.forgetIDsMax + 1))]}")
    },
    HostileClient("forgetting what never was, again and again", .served) {
      let line = request("sequence.forget", "{\(prey),\"ids\":[\(list("\"never\"", 1000))]}")
      return try $0.ask(list(line, 100, separator: "\n"))
    },
  ]

  private static func restore(_ target: Target, _ path: String) throws -> Outcome {
    try target.call(
      "snapshot.restore", "{\"corpus\":\"\(Target.uniqueName())\",\"path\":\"\(path)\"}")
  }

  private static let files: [HostileClient] = [
    HostileClient("restoring /etc/passwd", .answered("corrupt")) { try restore($0, "/etc/passwd") },
    HostileClient("restoring /dev/zero", .answered("invalid_params")) {
      try restore($0, "/dev/zero")
    },
    HostileClient("restoring a directory", .answered("invalid_params")) { try restore($0, "/etc") },
    HostileClient("restoring a pipe that nobody writes to", .answered("invalid_params")) { target in
      let path = "\(target.directory)/\(Target.uniqueName())"
      unsafe mkfifo(path, 0o600)
      defer { unsafe unlink(path) }
      return try restore(target, path)
    },
    HostileClient("restoring a path of 4,096 letters", .answered("snapshot_not_found")) {
      try restore($0, String(repeating: "p", count: $0.limits.pathBytesMax))
    },
    HostileClient("a path with a zero byte", .answered("invalid_params")) {
      try restore($0, "/etc/passwd\\u0000.snapshot")
    },
    HostileClient("a path with a line end", .answered("snapshot_not_found")) {
      try restore($0, "none\\n2026-11-26T00:00:00Z error reprise: all is lost")
    },
    HostileClient("a snapshot named ../x", .answered("invalid_params")) {
      try $0.call("snapshot.create", "{\(prey),\"name\":\"../x\"}")
    },
    HostileClient("verifying what is not there, again and again", .answered("snapshot_not_found")) {
      try $0.ask(
        list(request("snapshot.verify", "{\"snapshot\":\"none\"}"), 1000, separator: "\n"))
    },
  ]

  /// Makes calls one after the other until one is refused.
  private static func untilRefused(
    _ connection: LineConnection, _ line: () -> String
  ) throws -> Outcome {
    while true {
      let outcome = try connection.ask(line())
      if outcome != .served { return outcome }
    }
  }
}
