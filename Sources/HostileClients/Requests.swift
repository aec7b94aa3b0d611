/// A request as its line, without the newline.
func request(_ method: String, _ params: String = "{}", id: String = "1") -> String {
  "{\"jsonrpc\":\"2.0\",\"id\":\(id),\"method\":\"\(method)\",\"params\":\(params)}"
}

/// A text repeated `count` times, with a separator.
func list(_ text: String, _ count: Int, separator: String = ",") -> String {
  String(String(repeating: separator + text, count: count).dropFirst(separator.utf8.count))
}

// MARK: Requests about the corpus that hostile clients write to

/// The member of params that names the corpus.
let prey = "\"corpus\":\"\(Target.corpus)\""

/// A request for the drafts of several contexts.
func speculate(contexts: String) -> String {
  request("speculate", "{\(prey),\"contexts\":[\(contexts)]}")
}

func sessionOpen(_ name: String? = nil, prompt: String = "") -> String {
  let session = name.map { ",\"session\":\"\($0)\"" } ?? ""
  return request("session.open", "{\(prey)\(session),\"prompt\":[\(prompt)]}")
}

/// One of the steps in a request; no request of its own.
func step(_ name: String, accept: String = "") -> String {
  "{\"session\":\"\(name)\",\"accept\":[\(accept)]}"
}

func sessionStep(_ steps: String) -> String {
  request("session.step", "{\"steps\":[\(steps)]}")
}

func sessionClose(_ name: String) -> String {
  request("session.close", "{\"session\":\"\(name)\",\"record\":false}")
}

func sequenceInsert(_ sequences: String) -> String {
  request("sequence.insert", "{\(prey),\"sequences\":[\(sequences)]}")
}

func sequenceForget(_ ids: String) -> String {
  request("sequence.forget", "{\(prey),\"ids\":[\(ids)]}")
}

// MARK: Requests about other corpora

func corpusCreate(_ name: String) -> String {
  request("corpus.create", "{\"corpus\":\"\(name)\"}")
}

func corpusDrop(_ name: String) -> String {
  request("corpus.drop", "{\"corpus\":\"\(name)\",\"confirm\":\"\(name)\"}")
}
