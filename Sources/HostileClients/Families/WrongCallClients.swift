import RepriseModel

/// Clients whose calls have wrong params.
enum WrongCallClients {
  static let all: [HostileClient] = [
    HostileClient("a corpus ../../etc/passwd", .answered("invalid_params")) {
      try $0.ask(corpusCreate("../../etc/passwd"))
    },
    HostileClient("a corpus of 65 letters", .exceeds("corpus_name_bytes")) {
      try $0.ask(corpusCreate(String(repeating: "c", count: 65)))
    },
    HostileClient("the token −1", .answered("invalid_params")) { try $0.speculate("1,-1") },
    HostileClient("the token 2³¹ − 1", .answered("invalid_params")) {
      try $0.speculate("1,2147483647")
    },
    HostileClient("the token 1e300", .answered("invalid_params")) { try $0.speculate("1,1e300") },
    HostileClient("the token 1.5", .answered("invalid_params")) { try $0.speculate("1,1.5") },
    HostileClient("the token \"7\"", .answered("invalid_params")) { try $0.speculate("1,\"7\"") },
    HostileClient("max_tokens 2⁶³", .answered("invalid_params")) {
      try $0.speculate("1", ",\"max_tokens\":9223372036854775808")
    },
    HostileClient("max_tokens beyond its limit", .exceeds("max_tokens")) {
      try $0.speculate("1", ",\"max_tokens\":\($0.limits.draftTokensMax + 1)")
    },
    HostileClient("min_probability −1", .answered("invalid_params")) {
      try $0.speculate("1", ",\"min_probability\":-1")
    },
    HostileClient("min_probability 1e999", .answered("invalid_params")) {
      try $0.speculate("1", ",\"min_probability\":1e999")
    },
    HostileClient("dropping without confirming", .answered("invalid_params")) {
      try $0.call("corpus.drop", "{\"corpus\":\"\(Target.othersCorpus)\"}")
    },
  ]
}
