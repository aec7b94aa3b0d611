import RepriseModel
import TestSupport
import WireProtocol

/// Heavy but not hostile load: what one tenant or an operator may do all day.
extension HostileClient {
  /// In the order of the second table in docs/reports/hostile-clients.md.
  package static let heavy: [HostileClient] = [
    HostileClient("inserting 8,192 tokens a call on 5 connections, without pause", .served) {
      target in
      let tokens = (0..<256).map { "\($0 * 7919 % 50_021)" }.joined(separator: ",")
      let line = insert(list("{\"tokens\":[\(tokens)]}", 32)) + "\n"
      let connections = try (0..<5).map { _ in try target.connect() }
      // Sent to all connections before waiting for any answer.
      for connection in connections { connection.send(line) }
      for connection in connections {
        guard let answer = connection.line() else { return .closed }
        if !answer.contains("\"result\"") { return .other(answer) }
      }
      return .served
    },
    HostileClient("opening sessions of 100,000 tokens on 5 connections", .served) { target in
      let prompt = (0..<min(100_000, target.limits.promptTokensMax)).map { "\($0 % 5003)" }
      let line = open(prompt: prompt.joined(separator: ",")) + "\n"
      let connections = try (0..<5).map { _ in try target.connect() }
      for connection in connections { connection.send(line) }
      for connection in connections {
        guard let answer = connection.line() else { return .closed }
        if !answer.contains("\"result\"") { return .other(answer) }
      }
      return .served
    },
    HostileClient("taking snapshots", .served) { target in
      let name = Target.uniqueName()
      let connection = try target.connect()
      let outcome = try connection.ask(
        request("snapshot.create", "{\(prey),\"name\":\"\(name)\"}"))
      _ = try connection.ask(request("snapshot.delete", "{\"snapshot\":\"\(name)\"}"))
      return outcome
    },
    HostileClient("merging corpora", .served) { target in
      let name = Target.uniqueName()
      let connection = try target.connect()
      _ = try connection.ask(request("corpus.create", "{\"corpus\":\"\(name)\"}"))
      let outcome = try connection.ask(
        request("corpus.merge", "{\"from\":\"\(Target.corpus)\",\"into\":\"\(name)\"}"))
      _ = try connection.ask(
        request("corpus.drop", "{\"corpus\":\"\(name)\",\"confirm\":\"\(name)\"}"))
      return outcome
    },
    HostileClient("inserting and forgetting 1,000 sequences", .served) { target in
      let ids = (0..<1000).map { _ in Target.uniqueName() }
      let sequences = ids.map { "{\"id\":\"\($0)\",\"tokens\":[7,8,9,10,11,12]}" }
      let connection = try target.connect()
      _ = try connection.ask(insert(sequences.joined(separator: ",")))
      return try connection.ask(
        request(
          "sequence.forget",
          "{\(prey),\"ids\":[\(ids.map { "\"\($0)\"" }.joined(separator: ","))]}"))
    },
  ]
}
