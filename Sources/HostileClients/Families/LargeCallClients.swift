import RepriseModel

/// Clients whose calls are too large, or as large as is permitted.
enum LargeCallClients {
  static let all: [HostileClient] = [
    HostileClient("more than context_tokens", .exceeds("context_tokens")) {
      try $0.speculate(list("7", $0.limits.contextTokensMax + 1))
    },
    HostileClient("context_tokens, again and again", .served) { target in
      let line = request(
        "speculate", "{\(prey),\"context\":[\(list("7", target.limits.contextTokensMax))]}")
      return try target.ask(list(line, 4, separator: "\n"))
    },
    HostileClient("more than contexts", .exceeds("contexts")) {
      try $0.ask(speculate(contexts: list("[7]", $0.limits.contextsMax + 1)))
    },
    HostileClient("4,096 contexts at once, again and again", .served) { target in
      let line = speculate(contexts: list("[5,6,7]", target.limits.contextsMax))
      return try target.ask(list(line, 4, separator: "\n"))
    },
    HostileClient("trees of 1,024 tokens at probability 0", .served) { target in
      let line = request("speculate", "{\(prey),\"context\":[5],\(wholeTree(target))}")
      return try target.ask(list(line, 100, separator: "\n"))
    },
    HostileClient("the same trees by estimate", .served) { target in
      let line = request(
        "speculate",
        "{\(prey),\"context\":[5],\"policy\":\"estimate\",\(wholeTree(target))}")
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
}
