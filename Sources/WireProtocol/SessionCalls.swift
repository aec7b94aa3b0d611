import RepriseModel

/// `session.open`: opens a session for one request of an engine.
public struct SessionOpen: Equatable, Sendable {
  public var corpus: CorpusName
  /// The caller's name for the session; nil lets the service choose one.
  public var session: String?
  public var prompt: [Int32]
  /// An earlier session whose prompt and output are the beginning of this prompt.
  public var parent: String?
  /// The group that the output will belong to, and whose outputs are drafted from; nil for none.
  public var group: String?
  public var share = SharePolicy.live
  /// Seconds without a call after which the session ends; nil lets the service choose.
  public var ttlSeconds: Int?
  /// All drafted token ids are below it.
  public var vocabulary: Int

  /// The range of `ttlSeconds`.
  public static let ttlSecondsRange = 1...86_400

  public init(
    corpus: CorpusName, session: String? = nil, prompt: [Int32], parent: String? = nil,
    group: String? = nil, share: SharePolicy = .live, ttlSeconds: Int? = nil,
    vocabulary: Int = Int(Int32.max)
  ) {
    self.corpus = corpus
    self.session = session
    self.prompt = prompt
    self.parent = parent
    self.group = group
    self.share = share
    self.ttlSeconds = ttlSeconds
    self.vocabulary = vocabulary
  }

  init(_ params: JSONValue?, _ limits: Limits) throws(WireError) {
    var (corpus, session, parent, group): (CorpusName?, String?, String?, String?)
    var prompt: [Int32]?
    var share: SharePolicy?
    var (ttl, vocabulary): (Int?, Int?)
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "corpus": try member.set(&corpus, member.corpusToFind())
      case "session":
        try member.set(
          &session, member.name(.sessionNameBytes, bytesMax: limits.sessionNameBytesMax))
      case "parent":
        try member.set(
          &parent, member.name(.sessionNameBytes, bytesMax: limits.sessionNameBytesMax))
      case "group":
        try member.set(
          &group, member.name(.sequenceIDBytes, bytesMax: limits.sequenceIDBytesMax))
      case "prompt":
        var read: [Int32] = []
        _ = try member.tokens(.promptTokens, max: limits.promptTokensMax, to: &read)
        try member.set(&prompt, read)
      case "share":
        guard let value = SharePolicy(rawValue: member.value.string) else {
          throw member.wrong("\"live\", \"close\" or \"never\"")
        }
        try member.set(&share, value)
      case "ttl_s": try member.set(&ttl, member.integer(Self.ttlSecondsRange))
      case "vocabulary": try member.set(&vocabulary, member.integer(Vocabulary.range))
      default: throw member.unknown
      }
    }
    self.init(
      corpus: try required(corpus, "corpus"), session: session,
      prompt: try required(prompt, "prompt"), parent: parent, group: group,
      share: share ?? .live, ttlSeconds: ttl, vocabulary: vocabulary ?? Int(Int32.max))
  }

  func write(to writer: inout JSONWriter) {
    writer.name("corpus")
    writer.string(corpus.text)
    if let session {
      writer.name("session")
      writer.string(session)
    }
    writer.name("prompt")
    writer.integers(prompt)
    if let parent {
      writer.name("parent")
      writer.string(parent)
    }
    if let group {
      writer.name("group")
      writer.string(group)
    }
    if share != .live {
      writer.name("share")
      writer.string(share.rawValue)
    }
    if let ttlSeconds {
      writer.name("ttl_s")
      writer.integer(ttlSeconds)
    }
    if vocabulary != Int(Int32.max) {
      writer.name("vocabulary")
      writer.integer(vocabulary)
    }
  }
}

/// `session.step`: one decoding step of any number of sessions.
public struct SessionStep: Equatable, Sendable {
  /// The step of one session.
  public struct Step: Equatable, Sendable {
    public var session: String
    /// The range of the accepted tokens in `tokens`.
    public var accept: Range<Int>
    public var options: DraftOptions
  }

  public private(set) var steps: [Step] = []
  /// The most tokens of all drafts together, in `DraftBudget.range`: those with the highest probabilities
  /// are drafted. There is no such bound where it is nil.
  public var budget: Int?
  /// The cost of verifying drafted tokens: as many are drafted as are worth it, and the options'
  /// `minProbability` does not apply. The options decide where it is nil.
  public var verifyCost: VerifyCost?
  /// The sequences of the whole batch, if other calls have some of them. Only with `verifyCost`.
  public var batch: Int?
  /// The accepted tokens of all steps.
  public private(set) var tokens: [Int32] = []
  /// The steps that are refused, by their places in the request, with the reason. The others are
  /// taken.
  public private(set) var refusals: [Int: WireError] = [:]

  public init() {}

  /// Adds a step: the tokens that joined the session's output, and the options of its draft.
  public mutating func append(
    session: String, accept: [Int32], options: DraftOptions = DraftOptions()
  ) {
    steps.append(
      Step(
        session: session, accept: tokens.count..<(tokens.count + accept.count), options: options))
    tokens += accept
  }

  init(_ params: JSONValue?, _ limits: Limits) throws(WireError) {
    var list: Member?
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "steps": try member.set(&list, member)
      case "budget": try member.set(&budget, member.integer(DraftBudget.range))
      case "verify_cost": try member.set(&verifyCost, VerifyCost(member))
      case "batch": try member.set(&batch, member.integer(VerifyCost.batchRange))
      default: throw member.unknown
      }
    }
    let member = try required(list, "steps")
    guard member.value.kind == .array else { throw member.wrong("an array of steps") }
    let count = member.value.count
    if count > limits.stepsMax {
      throw .limit(.steps, max: limits.stepsMax, got: count, "\(member.place)")
    }
    var tokens: [Int32] = []
    var steps: [Step] = []
    steps.reserveCapacity(count)
    // A few tokens a step, as a rule.
    tokens.reserveCapacity(count * 4)
    var refusals: [Int: WireError] = [:]
    member.value.forEachElement { (position, value) in
      let start = tokens.count
      do throws(WireError) {
        steps.append(try Self.step(value, position, &tokens, limits))
      } catch {
        // One bad step does not affect the others.
        tokens.removeLast(tokens.count - start)
        steps.append(Step(session: "", accept: start..<start, options: DraftOptions()))
        refusals[position] = error
      }
    }
    self.steps = steps
    self.tokens = tokens
    self.refusals = refusals
  }

  private static func step(
    _ value: JSONValue, _ position: Int, _ tokens: inout [Int32], _ limits: Limits
  ) throws(WireError) -> Step {
    guard value.kind == .object else {
      throw WireError(
        .invalidParams, "params.steps[\(position)] is not an object of \"session\" and \"accept\"",
        ["member": .text("params.steps[\(position)]")])
    }
    var session: String?
    var accept: Range<Int>?
    var options = DraftOptionsReader()
    try value.forEachMember(of: "params.steps", position: position) {
      (name, member) throws(WireError) in
      switch name {
      case "session":
        try member.set(
          &session, member.name(.sessionNameBytes, bytesMax: limits.sessionNameBytesMax))
      case "accept":
        try member.set(
          &accept, member.tokens(.acceptTokens, max: limits.acceptTokensMax, to: &tokens))
      default: try options.read(name, member, limits)
      }
    }
    return Step(
      session: try required(session, "session", in: "params.steps[\(position)]"),
      accept: try required(accept, "accept", in: "params.steps[\(position)]"),
      options: options.options)
  }

  func write(to writer: inout JSONWriter) {
    writer.name("steps")
    writer.beginArray()
    for step in steps { write(step, to: &writer) }
    writer.endArray()
    if let budget {
      writer.name("budget")
      writer.integer(budget)
    }
    if let verifyCost {
      writer.name("verify_cost")
      verifyCost.write(to: &writer)
    }
    if let batch {
      writer.name("batch")
      writer.integer(batch)
    }
  }

  /// Drafts each step down to a probability, whatever its options say.
  package mutating func setMinProbability(_ probability: Double) {
    for place in steps.indices { steps[place].options.minProbability = probability }
  }

  private func write(_ step: Step, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.name("session")
    writer.string(step.session)
    writer.name("accept")
    writer.integers(tokens[step.accept])
    step.options.write(to: &writer)
    writer.endObject()
  }

  /// The most bytes of a request's line beside its steps. A point has a number of seven digits, one of at
  /// most 24 bytes, and four signs.
  private var envelopeBytesMax: Int { 192 + 35 * (verifyCost?.points.count ?? 0) }
  /// The most bytes of a step beside its tokens and its session's name.
  private static let stepBytesMax = 256

  /// The steps divided into several calls, in their order, whose lines have at most `lineBytesMax`
  /// bytes each. A step whose line is longer has a call of its own. Each call has the part of the budget
  /// that its number of steps is of all, and the size of the whole batch.
  ///
  /// - Complexity: O(steps) if one call holds them all, which is usual; O(bytes) otherwise.
  public func split(lineBytesMax: Int) -> [SessionStep] {
    // A token has ten digits and a comma at most, an escaped byte of a name six.
    let most = steps.reduce(envelopeBytesMax + 11 * tokens.count) {
      $0 + Self.stepBytesMax + 6 * $1.session.utf8.count
    }
    if most <= lineBytesMax || steps.count < 2 { return [self] }
    var parts: [SessionStep] = []
    var writer = JSONWriter()
    var bytes = 0
    for step in steps {
      writer.removeAll()
      write(step, to: &writer)
      if parts.isEmpty || envelopeBytesMax + bytes + writer.count > lineBytesMax {
        parts.append(SessionStep())
        bytes = 0
      }
      bytes += writer.count + 1
      parts[parts.count - 1].append(
        session: step.session, accept: Array(tokens[step.accept]), options: step.options)
    }
    if let verifyCost {
      for place in parts.indices {
        parts[place].verifyCost = verifyCost
        parts[place].batch = batch ?? steps.count
      }
    }
    if let budget {
      var before = 0
      for place in parts.indices {
        let end = before + parts[place].steps.count
        parts[place].budget = budget * end / steps.count - budget * before / steps.count
        before = end
      }
    }
    return parts
  }
}

/// `session.close`: ends a session; answered when its output is on disk.
public struct SessionClose: Equatable, Sendable {
  public var session: String
  /// True if the output is kept as a sequence.
  public var record = true

  public init(session: String, record: Bool = true) {
    self.session = session
    self.record = record
  }

  init(_ params: JSONValue?, _ limits: Limits) throws(WireError) {
    var session: String?
    var record: Bool?
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "session":
        try member.set(
          &session, member.name(.sessionNameBytes, bytesMax: limits.sessionNameBytesMax))
      case "record": try member.set(&record, member.bool())
      default: throw member.unknown
      }
    }
    self.init(session: try required(session, "session"), record: record ?? true)
  }

  func write(to writer: inout JSONWriter) {
    writer.name("session")
    writer.string(session)
    if !record {
      writer.name("record")
      writer.bool(false)
    }
  }
}
