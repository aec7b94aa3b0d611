import RepriseModel
import TestSupport

/// Heavy but not hostile load: what one tenant or an operator may do all day.
enum HeavyClients {
  static let all: [HostileClient] = [
    HostileClient("inserting 8,192 tokens a call on 5 connections, without pause", .served) {
      target in
      let tokens = (0..<256).map { "\($0 * 7919 % 50_021)" }.joined(separator: ",")
      return try askOnFiveConnections(
        target, sequenceInsert(list("{\"tokens\":[\(tokens)]}", 32)))
    },
    HostileClient("opening sessions of 100,000 tokens on 5 connections", .served) { target in
      let prompt = (0..<min(100_000, target.limits.promptTokensMax)).map { "\($0 % 5003)" }
      return try askOnFiveConnections(
        target, sessionOpen(prompt: prompt.joined(separator: ",")))
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
      _ = try connection.ask(corpusCreate(name))
      let outcome = try connection.ask(
        request("corpus.merge", "{\"from\":\"\(Target.corpus)\",\"into\":\"\(name)\"}"))
      _ = try connection.ask(corpusDrop(name))
      return outcome
    },
    HostileClient("inserting and forgetting 1,000 sequences", .served) { target in
      let ids = (0..<1000).map { _ in Target.uniqueName() }
      let sequences = ids.map { "{\"id\":\"\($0)\",\"tokens\":[7,8,9,10,11,12]}" }
      let connection = try target.connect()
      _ = try connection.ask(sequenceInsert(sequences.joined(separator: ",")))
      return try connection.ask(
        sequenceForget(ids.map { "\"\($0)\"" }.joined(separator: ",")))
    },
  ]

  /// Sends a line on each of five connections before it waits for any answer.
  private static func askOnFiveConnections(_ target: Target, _ line: String) throws -> Outcome {
    let connections = try (0..<5).map { _ in try target.connect() }
    let bytes = Array("\(line)\n".utf8)
    for connection in connections { connection.send(bytes) }
    for connection in connections {
      guard let answer = connection.line() else { return .closed }
      if !answer.contains("\"result\"") { return .other(answer) }
    }
    return .served
  }
}
