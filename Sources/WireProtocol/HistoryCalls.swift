import RepriseModel

/// `sequence.insert`: adds finished sequences; answered when they are on disk.
public struct SequenceInsert: Equatable, Sendable {
  public var corpus: CorpusName
  public var sequences: [NewSequence]
  public var tokenizer: String?

  public init(corpus: CorpusName, sequences: [NewSequence], tokenizer: String? = nil) {
    self.corpus = corpus
    self.sequences = sequences
    self.tokenizer = tokenizer
  }

  init(_ params: JSONValue?, _ limits: Limits) throws(WireError) {
    var (corpus, tokenizer): (CorpusName?, String?)
    var sequences: [NewSequence]?
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "corpus": try member.set(&corpus, member.corpusToFind())
      case "tokenizer":
        try member.set(
          &tokenizer, member.name(.tokenizerBytes, bytesMax: limits.tokenizerBytesMax))
      case "sequences": try member.set(&sequences, Self.sequences(member, limits))
      default: throw member.unknown
      }
    }
    self.init(
      corpus: try required(corpus, "corpus"), sequences: try required(sequences, "sequences"),
      tokenizer: tokenizer)
  }

  private static func sequences(
    _ member: Member, _ limits: Limits
  ) throws(WireError) -> [NewSequence] {
    guard member.value.kind == .array else { throw member.wrong("an array of sequences") }
    let count = member.value.count
    if count > limits.sequencesMax {
      throw .limit(.sequences, max: limits.sequencesMax, got: count, "\(member.place)")
    }
    var sequences: [NewSequence] = []
    sequences.reserveCapacity(count)
    try member.value.forEachElement { (position, value) throws(WireError) in
      guard value.kind == .object else {
        throw WireError(
          .invalidParams,
          "params.sequences[\(position)] is not an object of \"id\", \"group\", \"prompt\" and "
            + "\"tokens\"",
          ["member": .text("params.sequences[\(position)]")])
      }
      var (id, group): (String?, String?)
      var (prompt, tokens): ([Int32]?, [Int32]?)
      try value.forEachMember(of: "params.sequences", position: position) {
        (name, member) throws(WireError) in
        switch name {
        case "id":
          try member.set(
            &id, member.name(.sequenceIDBytes, bytesMax: limits.sequenceIDBytesMax))
        case "group":
          try member.set(
            &group, member.name(.sequenceIDBytes, bytesMax: limits.sequenceIDBytesMax))
        case "prompt":
          var read: [Int32] = []
          _ = try member.tokens(.promptTokens, max: limits.promptTokensMax, to: &read)
          try member.set(&prompt, read)
        case "tokens":
          var read: [Int32] = []
          _ = try member.tokens(.sequenceTokens, max: limits.sequenceTokensMax, to: &read)
          if read.isEmpty { throw member.wrong("at least one token") }
          try member.set(&tokens, read)
        default: throw member.unknown
        }
      }
      sequences.append(
        NewSequence(
          id: id, group: group, prompt: prompt ?? [],
          tokens: try required(tokens, "tokens", in: "params.sequences[\(position)]")))
    }
    return sequences
  }

  func write(to writer: inout JSONWriter) {
    writer.name("corpus")
    writer.string(corpus.text)
    if let tokenizer {
      writer.name("tokenizer")
      writer.string(tokenizer)
    }
    writer.name("sequences")
    writer.beginArray()
    for sequence in sequences {
      writer.beginObject()
      if let id = sequence.id {
        writer.name("id")
        writer.string(id)
      }
      if let group = sequence.group {
        writer.name("group")
        writer.string(group)
      }
      if !sequence.prompt.isEmpty {
        writer.name("prompt")
        // No corpus keeps more of it.
        writer.integers(sequence.prompt.suffix(LeadIn.range.upperBound))
      }
      writer.name("tokens")
      writer.integers(sequence.tokens)
      writer.endObject()
    }
    writer.endArray()
  }
}

/// `sequence.forget`: removes sequences permanently; answered when they are gone.
public struct SequenceForget: Equatable, Sendable {
  public var corpus: CorpusName
  public var ids: [String]

  public init(corpus: CorpusName, ids: [String]) {
    self.corpus = corpus
    self.ids = ids
  }

  init(_ params: JSONValue?, _ limits: Limits) throws(WireError) {
    var corpus: CorpusName?
    var ids: [String]?
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "corpus": try member.set(&corpus, member.corpusToFind())
      case "ids": try member.set(&ids, Self.ids(member, limits))
      default: throw member.unknown
      }
    }
    self.init(corpus: try required(corpus, "corpus"), ids: try required(ids, "ids"))
  }

  private static func ids(_ member: Member, _ limits: Limits) throws(WireError) -> [String] {
    guard member.value.kind == .array else { throw member.wrong("an array of ids") }
    let count = member.value.count
    if count > limits.forgetIDsMax {
      throw .limit(.forgetIDs, max: limits.forgetIDsMax, got: count, "\(member.place)")
    }
    var ids: [String] = []
    ids.reserveCapacity(count)
    try member.value.forEachElement { (position, value) throws(WireError) in
      let element = Member(value: value, place: Member.Place(name: "ids[\(position)]"))
      ids.append(try element.name(.sequenceIDBytes, bytesMax: limits.sequenceIDBytesMax))
    }
    return ids
  }

  func write(to writer: inout JSONWriter) {
    writer.name("corpus")
    writer.string(corpus.text)
    writer.name("ids")
    writer.strings(ids)
  }
}

/// `speculate`: drafts from the shared history, without a session.
public struct Speculate: Equatable, Sendable {
  public var corpus: CorpusName
  /// The ranges of the contexts in `tokens`, which holds all of them.
  public var contexts: [Range<Int>]
  public var tokens: [Int32]
  /// The contexts that are refused, by their places in `contexts`, with the reason. The others are
  /// drafted from.
  public private(set) var refusals: [Int: WireError] = [:]
  /// True if the call has `contexts` and is answered with `drafts`.
  public var isBatch: Bool
  public var options: DraftOptions

  public init(corpus: CorpusName, context: [Int32], options: DraftOptions = DraftOptions()) {
    self.corpus = corpus
    contexts = [0..<context.count]
    tokens = context
    isBatch = false
    self.options = options
  }

  public init(corpus: CorpusName, contexts: [[Int32]], options: DraftOptions = DraftOptions()) {
    self.corpus = corpus
    self.contexts = []
    tokens = []
    isBatch = true
    self.options = options
    for context in contexts {
      self.contexts.append(tokens.count..<(tokens.count + context.count))
      tokens += context
    }
  }

  init(_ params: JSONValue?, _ limits: Limits) throws(WireError) {
    var corpus: CorpusName?
    var (context, contexts): (Range<Int>?, [Range<Int>]?)
    var tokens: [Int32] = []
    var refusals: [Int: WireError] = [:]
    var options = DraftOptionsReader()
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "corpus": try member.set(&corpus, member.corpusToFind())
      case "context": try member.set(&context, Self.context(member, limits, &tokens))
      case "contexts":
        try member.set(&contexts, Self.contexts(member, limits, &tokens, &refusals))
      default: try options.read(name, member, limits)
      }
    }
    self.corpus = try required(corpus, "corpus")
    self.tokens = tokens
    self.refusals = refusals
    self.options = options.options
    isBatch = contexts != nil
    if let contexts {
      if context != nil {
        throw WireError(
          .invalidParams, "params has both context and contexts; give one of them",
          ["member": .text("params.contexts")])
      }
      self.contexts = contexts
    } else {
      self.contexts = [try required(context, "context")]
    }
  }

  private static func context(
    _ member: Member, _ limits: Limits, _ tokens: inout [Int32]
  ) throws(WireError) -> Range<Int> {
    let range = try member.tokens(.contextTokens, max: limits.contextTokensMax, to: &tokens)
    if range.isEmpty { throw member.wrong("at least one token") }
    return range
  }

  private static func contexts(
    _ member: Member, _ limits: Limits, _ tokens: inout [Int32],
    _ refusals: inout [Int: WireError]
  ) throws(WireError) -> [Range<Int>] {
    guard member.value.kind == .array else { throw member.wrong("an array of contexts") }
    let count = member.value.count
    if count > limits.contextsMax {
      throw .limit(.contexts, max: limits.contextsMax, got: count, "\(member.place)")
    }
    var contexts: [Range<Int>] = []
    member.value.forEachElement { (position, value) in
      let element = Member(value: value, place: Member.Place(name: "contexts[\(position)]"))
      let start = tokens.count
      do throws(WireError) {
        contexts.append(try context(element, limits, &tokens))
      } catch {
        tokens.removeLast(tokens.count - start)
        contexts.append(start..<start)
        refusals[position] = error
      }
    }
    return contexts
  }

  func write(to writer: inout JSONWriter) {
    writer.name("corpus")
    writer.string(corpus.text)
    if isBatch {
      writer.name("contexts")
      writer.beginArray()
      for range in contexts { writer.integers(tokens[range]) }
      writer.endArray()
    } else {
      writer.name("context")
      writer.integers(tokens)
    }
    options.write(to: &writer)
  }
}
