import RepriseModel

/// The content of a request: one case for each method.
public enum Call: Equatable, Sendable {
  case serverInfo
  /// Presents an access token for the connection.
  case serverAuthenticate(ServerAuthenticate)
  case serverMetrics
  case clientReport(ClientReport)
  case healthLive
  case healthReady
  case corpusCreate(CorpusCreate)
  case corpusList
  case corpusStats(corpus: CorpusName)
  case corpusDrop(CorpusDrop)
  case corpusMerge(CorpusMerge)
  case sequenceInsert(SequenceInsert)
  case sequenceForget(SequenceForget)
  case speculate(Speculate)
  case sessionOpen(SessionOpen)
  case sessionStep(SessionStep)
  case sessionClose(SessionClose)
  case snapshotCreate(SnapshotCreate)
  /// Lists the snapshots of one corpus, or of all. The name may be any text: snapshots of corpora that are
  /// gone are listed too.
  case snapshotList(corpus: String?)
  case snapshotVerify(SnapshotReference)
  case snapshotDelete(snapshot: String)
  case snapshotRestore(SnapshotRestore)

  /// The method of the call.
  public var method: Method {
    switch self {
    case .serverInfo: .serverInfo
    case .serverAuthenticate: .serverAuthenticate
    case .serverMetrics: .serverMetrics
    case .clientReport: .clientReport
    case .healthLive: .healthLive
    case .healthReady: .healthReady
    case .corpusCreate: .corpusCreate
    case .corpusList: .corpusList
    case .corpusStats: .corpusStats
    case .corpusDrop: .corpusDrop
    case .corpusMerge: .corpusMerge
    case .sequenceInsert: .sequenceInsert
    case .sequenceForget: .sequenceForget
    case .speculate: .speculate
    case .sessionOpen: .sessionOpen
    case .sessionStep: .sessionStep
    case .sessionClose: .sessionClose
    case .snapshotCreate: .snapshotCreate
    case .snapshotList: .snapshotList
    case .snapshotVerify: .snapshotVerify
    case .snapshotDelete: .snapshotDelete
    case .snapshotRestore: .snapshotRestore
    }
  }

  /// The steps or contexts of the call that are refused, by their places, with the reason. The
  /// others are carried out.
  public var refusals: [Int: WireError] {
    switch self {
    case .sessionStep(let call): call.refusals
    case .speculate(let call): call.refusals
    default: [:]
    }
  }

  /// Reads the params of a method.
  ///
  /// - Parameter params: nil if the request has none.
  init(method: String, params: JSONValue?, limits: Limits) throws(WireError) {
    if let params, params.kind != .object {
      throw WireError(
        .invalidParams, "params must be an object of named members", ["member": .text("params")])
    }
    guard let known = Method(name: method) else {
      throw WireError(
        .methodNotFound,
        "there is no method \"\(method.excerpt)\"; docs/guide/protocol.md lists the methods",
        ["method": .text(method.excerpt)])
    }
    switch known {
    case .sessionStep: self = .sessionStep(try SessionStep(params, limits))
    case .speculate: self = .speculate(try Speculate(params, limits))
    case .sessionOpen: self = .sessionOpen(try SessionOpen(params, limits))
    case .sessionClose: self = .sessionClose(try SessionClose(params, limits))
    case .sequenceInsert: self = .sequenceInsert(try SequenceInsert(params, limits))
    case .corpusCreate: self = .corpusCreate(try CorpusCreate(params, limits))
    case .corpusDrop: self = .corpusDrop(try CorpusDrop(params))
    case .corpusStats:
      let corpus = try Self.corpusAlone(params) { (member) throws(WireError) in
        try member.corpusToFind()
      }
      self = .corpusStats(corpus: try required(corpus, "corpus"))
    case .corpusMerge: self = .corpusMerge(try CorpusMerge(params))
    case .sequenceForget: self = .sequenceForget(try SequenceForget(params, limits))
    case .snapshotCreate: self = .snapshotCreate(try SnapshotCreate(params, limits))
    case .snapshotList:
      let corpus = try Self.corpusAlone(params) { (member) throws(WireError) in
        try member.corpusText()
      }
      self = .snapshotList(corpus: corpus)
    case .snapshotVerify: self = .snapshotVerify(try SnapshotReference(params, limits))
    case .snapshotDelete:
      var snapshot: String?
      try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
        guard name == "snapshot" else { throw member.unknown }
        try member.set(&snapshot, member.snapshotName(limits))
      }
      self = .snapshotDelete(snapshot: try required(snapshot, "snapshot"))
    case .snapshotRestore: self = .snapshotRestore(try SnapshotRestore(params, limits))
    case .serverAuthenticate: self = .serverAuthenticate(try ServerAuthenticate(params, limits))
    case .clientReport: self = .clientReport(try ClientReport(params))
    case .corpusList: self = try Self.alone(.corpusList, params)
    case .serverInfo: self = try Self.alone(.serverInfo, params)
    case .serverMetrics: self = try Self.alone(.serverMetrics, params)
    case .healthLive: self = try Self.alone(.healthLive, params)
    case .healthReady: self = try Self.alone(.healthReady, params)
    }
  }

  /// Reads a call that has no params.
  private static func alone(_ call: Call, _ params: JSONValue?) throws(WireError) -> Call {
    try params?.forEachMember(of: "params") { (_, member) throws(WireError) in
      throw member.unknown
    }
    return call
  }

  /// Reads params with no other member than `corpus`.
  private static func corpusAlone<Name>(
    _ params: JSONValue?, _ read: (Member) throws(WireError) -> Name
  ) throws(WireError) -> Name? {
    var corpus: Name?
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      guard name == "corpus" else { throw member.unknown }
      try member.set(&corpus, read(member))
    }
    return corpus
  }

  /// Writes the members of `params`.
  func writeParams(to writer: inout JSONWriter) {
    switch self {
    case .serverInfo, .serverMetrics, .healthLive, .healthReady, .corpusList: break
    case .serverAuthenticate(let call): call.write(to: &writer)
    case .clientReport(let report): report.write(to: &writer)
    case .corpusStats(let corpus):
      writer.name("corpus")
      writer.string(corpus.text)
    case .corpusCreate(let call): call.write(to: &writer)
    case .corpusDrop(let call): call.write(to: &writer)
    case .corpusMerge(let call): call.write(to: &writer)
    case .sequenceForget(let call): call.write(to: &writer)
    case .snapshotCreate(let call): call.write(to: &writer)
    case .snapshotList(let corpus):
      if let corpus {
        writer.name("corpus")
        writer.string(corpus)
      }
    case .snapshotVerify(let snapshot): snapshot.write(to: &writer)
    case .snapshotDelete(let snapshot):
      writer.name("snapshot")
      writer.string(snapshot)
    case .snapshotRestore(let call): call.write(to: &writer)
    case .sequenceInsert(let call): call.write(to: &writer)
    case .speculate(let call): call.write(to: &writer)
    case .sessionOpen(let call): call.write(to: &writer)
    case .sessionStep(let call): call.write(to: &writer)
    case .sessionClose(let call): call.write(to: &writer)
    }
  }
}
