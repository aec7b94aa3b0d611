import RepriseModel
import TestSupport

/// Clients that open too many sessions, or use sessions wrongly.
enum SessionClients {
  static let all: [HostileClient] = [
    HostileClient("steps of sessions that never were", .answered("session_not_found")) { target in
      let steps = list(step("never", accept: "1"), target.limits.stepsMax)
      return try target.ask(sessionStep(steps))
    },
    HostileClient("a step of a session whose name is too long", .exceeds("session_name_bytes")) {
      let name = String(repeating: "s", count: $0.limits.sessionNameBytesMax + 1)
      return try $0.ask(sessionStep(step(name)))
    },
    HostileClient("more than steps", .exceeds("steps")) {
      try $0.ask(sessionStep(list(step("s"), $0.limits.stepsMax + 1)))
    },
    HostileClient("one session 1,000 times in a line", .served) { target in
      let name = Target.uniqueName()
      let steps = list(step(name, accept: "5,6,7"), 1000)
      return try target.ask(
        "\(sessionOpen(name))\n\(sessionStep(steps))\n\(sessionClose(name))")
    },
    HostileClient("accepting more than accept_tokens", .exceeds("accept_tokens")) {
      let tokens = list("1", $0.limits.acceptTokensMax + 1)
      return try $0.ask(sessionStep(step("s", accept: tokens)))
    },
    HostileClient("sessions without end", .exceeds("connection_sessions")) { target in
      try target.connect().askUntilRefused { sessionOpen() }
    },
    HostileClient("text of sessions without end", .exceeds("connection_session_tokens")) { target in
      let prompt = list("7", min(100_000, target.limits.promptTokensMax))
      return try target.connect().askUntilRefused { sessionOpen(prompt: prompt) }
    },
    HostileClient("a session's name that is taken", .answered("conflict")) { target in
      let connection = try target.connect()
      let name = Target.uniqueName()
      guard try connection.ask(sessionOpen(name)) == .served else { throw ToolError("no session") }
      let outcome = try connection.ask(sessionOpen(name))
      _ = try connection.ask(sessionClose(name))
      return outcome
    },
    HostileClient("a parent that is not there", .served) {
      try $0.call("session.open", "{\(prey),\"prompt\":[7],\"parent\":\"nobody\"}")
    },
    HostileClient("a lease that ends in 10,000 years", .answered("invalid_params")) {
      try $0.call("session.open", "{\(prey),\"prompt\":[],\"ttl_s\":315360000000}")
    },
    HostileClient("more than prompt_tokens", .exceeds("prompt_tokens")) {
      try $0.ask(sessionOpen(prompt: list("7", $0.limits.promptTokensMax + 1)))
    },
    HostileClient("prompts of 100,000 tokens, again and again", .served) { target in
      let prompt = (0..<min(100_000, target.limits.promptTokensMax)).map { "\($0 % 5003)" }
      return try target.ask(
        list(sessionOpen(prompt: prompt.joined(separator: ",")), 4, separator: "\n"))
    },
  ]
}
