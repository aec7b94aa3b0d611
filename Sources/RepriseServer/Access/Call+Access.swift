import Access
import RepriseModel
import WireProtocol

extension Call {
  /// The right that a caller needs for a call.
  enum Access {
    /// Open to all, also without a token.
    case anybody
    /// Open to every holder of a token; the result shows only what the token covers.
    case holder
    /// Open to holders of tokens for all corpora: the result describes all of them.
    case everything
    /// Open to every holder with the right to draft: sessions, and counts of steps, are found by
    /// names of the holder's own.
    case drafting
    case corpus(CorpusName, Rights)
    /// The corpus may have to be created. Callers without rights to it do not learn whether it
    /// exists.
    case making(corpus: CorpusName, Rights)
    case merging(from: CorpusName, into: CorpusName)
    case snapshot(SnapshotReference)
    case restoring(SnapshotReference, corpus: CorpusName)
  }

  /// The right that a caller needs for this call.
  var access: Access {
    switch self {
    case .serverInfo, .healthLive, .healthReady, .serverAuthenticate: .anybody
    case .corpusList, .snapshotList: .holder
    case .serverMetrics: .everything
    case .sessionStep, .sessionClose, .clientReport: .drafting
    case .corpusStats(let corpus): .corpus(corpus, .draft)
    case .speculate(let call): .corpus(call.corpus, .draft)
    case .sessionOpen(let call):
      .corpus(call.corpus, call.share == .never ? .draft : [.draft, .insert])
    case .sequenceInsert(let call): .corpus(call.corpus, .insert)
    case .corpusCreate(let call): .making(corpus: call.corpus, .insert)
    case .corpusDrop(let call): .corpus(call.corpus, .admin)
    case .corpusMerge(let call): .merging(from: call.from, into: call.into)
    case .sequenceForget(let call): .corpus(call.corpus, .admin)
    case .snapshotCreate(let call): .corpus(call.corpus, .admin)
    case .snapshotVerify(let snapshot): .snapshot(snapshot)
    case .snapshotDelete(let name): .snapshot(.named(name))
    case .snapshotRestore(let call): .restoring(call.snapshot, corpus: call.corpus)
    }
  }
}

extension Call {
  /// True if the call may be made through a connection beyond the limit: calls that report on the
  /// service, and those that make room.
  var isForOperators: Bool {
    switch self {
    case .sessionOpen, .sessionStep, .sessionClose, .speculate, .sequenceInsert, .corpusCreate:
      false
    default: true
    }
  }
}

extension WireError {
  static func unauthorized(needs: String, _ what: String) -> WireError {
    WireError(
      .unauthorized, "\(what) needs \(needs); ask the keeper of this service's access file",
      ["needs": .text(needs)])
  }

  static let tokenNeeded = WireError(
    .unauthorized,
    "this service needs an access token; present it first, with server.authenticate",
    ["needs": .text("token")])
}

extension Grant {
  /// Refuses calls beyond the grant. To a caller without rights to the corpus, an existing corpus
  /// and a missing one give identical answers.
  func check(_ access: Call.Access) throws(WireError) {
    switch access {
    case .anybody, .holder: break
    case .everything:
      if !coversAll { throw .unauthorized(needs: "a token for all corpora", "this") }
    case .drafting: try check(.draft, "this")
    case .corpus(let name, let needed): try check(name, needed)
    case .making(let name, let needed):
      if !covers(corpus: name) {
        throw .unauthorized(needs: "a token for corpus \(name)", "creating it")
      }
      try check(needed, "creating corpus \(name)")
    case .merging(let from, let into):
      try check(from, .admin)
      try check(into, .admin)
    case .snapshot(let snapshot): try check(snapshot)
    case .restoring(let snapshot, let name):
      try check(.making(corpus: name, .admin))
      try check(snapshot)
    }
  }

  private func check(_ corpus: CorpusName, _ needed: Rights) throws(WireError) {
    if !covers(corpus: corpus) { throw .corpusNotFound(corpus) }
    try check(needed, "this, on corpus \(corpus),")
  }

  private func check(_ needed: Rights, _ what: String) throws(WireError) {
    let missing = needed.subtracting(rights)
    if !missing.isEmpty { throw .unauthorized(needs: "the right to \(missing)", what) }
  }

  /// A file may hold any corpus's text. Snapshots in the store are checked when their corpus is
  /// known.
  private func check(_ snapshot: SnapshotReference) throws(WireError) {
    try check(.admin, "this")
    if case .file = snapshot, !coversAll {
      throw .unauthorized(needs: "a token for all corpora", "reading a snapshot by its path")
    }
  }
}
