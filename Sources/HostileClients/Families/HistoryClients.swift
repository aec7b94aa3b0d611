import RepriseModel
import TestSupport

/// Clients that insert and forget sequences, or create corpora.
enum HistoryClients {
  static let all: [HostileClient] = [
    HostileClient("an id again, with other tokens", .answered("conflict")) { target in
      let name = Target.uniqueName()
      guard try target.ask(sequenceInsert("{\"id\":\"\(name)\",\"tokens\":[1]}")) == .served else {
        throw ToolError("nothing was inserted")
      }
      return try target.ask(sequenceInsert("{\"id\":\"\(name)\",\"tokens\":[2]}"))
    },
    HostileClient("more than sequences", .exceeds("sequences")) {
      try $0.ask(sequenceInsert(list("{\"tokens\":[7]}", $0.limits.sequencesMax + 1)))
    },
    HostileClient("more than sequence_tokens", .exceeds("sequence_tokens")) {
      try $0.ask(sequenceInsert("{\"tokens\":[\(list("7", $0.limits.sequenceTokensMax + 1))]}"))
    },
    HostileClient("one token, a million times", .served) {
      try $0.ask(
        sequenceInsert("{\"tokens\":[\(list("7", min(1_000_000, $0.limits.sequenceTokensMax)))]}"))
    },
    HostileClient("10,000 inserts at once", .served) {
      try $0.ask(list(sequenceInsert("{\"tokens\":[7,8,9]}"), 10_000, separator: "\n"))
    },
    HostileClient("corpora without end", .exceeds("corpora")) { target in
      let connection = try target.connect()
      var made: [String] = []
      let outcome = try connection.askUntilRefused {
        made.append(Target.uniqueName())
        return corpusCreate(made[made.count - 1])
      }
      for name in made.dropLast() { _ = try connection.ask(corpusDrop(name)) }
      return outcome
    },
    HostileClient("more than forget_ids", .exceeds("forget_ids")) {
      try $0.ask(sequenceForget(list("\"a\"", $0.limits.forgetIDsMax + 1)))
    },
    HostileClient("forgetting what never was, again and again", .served) {
      try $0.ask(list(sequenceForget(list("\"never\"", 1000)), 100, separator: "\n"))
    },
  ]
}
