import CorpusStore
import RepriseModel
import StoreErrors
import WireProtocol

extension WireError {
  /// Translates an error of the store.
  ///
  /// - Parameters:
  ///   - corpus: The corpus that the call was for.
  ///   - snapshotMember: The member of the call that names a snapshot.
  package init(
    _ error: StoreError, corpus: CorpusName? = nil, snapshotMember: String = "params.snapshot"
  ) {
    let message = error.repeatingExcerpts.descriptionForClients
    switch error {
    case .corpusExists(let name, let differences):
      self.init(
        .corpusExists, message,
        ["corpus": .text(name.text), "differences": .texts(differences.map(\.description))])
    case .settingsDiffer(let differences):
      var details: [String: Detail] = ["differences": .texts(differences.map(\.description))]
      if let corpus { details["corpus"] = .text(corpus.text) }
      self.init(.corpusExists, message, details)
    case .corpusStands(let name): self = .corpusStands(name)
    case .conflict(let id): self.init(.conflict, message, ["id": .text(id)])
    case .snapshotExists(let name): self.init(.conflict, message, ["id": .text(name)])
    case .mapFull(let used, let max):
      self.init(.storageFull, message, ["used_bytes": .number(used), "max_bytes": .number(max)])
    case .diskFull(_, let free, let bytes):
      self.init(
        .storageFull, message, ["used_bytes": .number(bytes - free), "max_bytes": .number(bytes)])
    case .corrupt(let what, let place):
      self.init(
        .corrupt, message,
        ["what": .text(what), "where": .text(StoreError.pathForClients(place))])
    case .snapshotDamaged(let snapshot, let reason):
      self.init(
        .corrupt, message,
        [
          "what": .text("snapshot \(StoreError.pathForClients(snapshot).excerpt)"),
          "where": .text(reason),
        ])
    case .closed(let name): self = .corpusNotFound(name)
    case .corpusNotFound(let name): self = .corpusNotFound(name)
    case .stillRead: self.init(.busy, message, ["retry_after_ms": .number(1000)])
    case .busy(let millis):
      self.init(.busy, message, ["retry_after_ms": .number(millis)])
    case .memoryShort: self.init(.busy, message, ["retry_after_ms": .number(1000)])
    case .settings: self.init(.invalidParams, message, ["member": .text("params")])
    case .snapshotName:
      self.init(.invalidParams, message, ["member": .text(snapshotMember)])
    case .snapshotNotFound(let snapshot):
      self.init(.snapshotNotFound, message, ["snapshot": .text(snapshot.excerpt)])
    case .notAFile: self.init(.invalidParams, message, ["member": .text("params.path")])
    case .readOnly(let corpus):
      self.init(.readOnly, message, ["corpus": .text(corpus.text)])
    case .exceedsRetention(let bound, let max, let got):
      self.init(
        .limitExceeded, message,
        ["limit": .text(bound.limit.rawValue), "max": .number(max), "got": .number(got)])
    case .beyondVocabulary(_, _, let sequence, let position):
      let place = sequence.map { "params.sequences[\($0)].tokens" } ?? "params.accept"
      self.init(.invalidParams, message, ["member": .text("\(place)[\(position)]")])
    case .notAStore, .noStore, .formatVersion, .inUse, .inaccessible, .failed, .fileFailed,
      .displaced, .cancelled:
      self.init(.internalError, message)
    }
  }

  /// Translates an error of a session.
  ///
  /// - Parameter place: The place of a token that the session was to accept.
  init(_ error: StoreError, session: String, tokenAt place: (Int) -> String = { "accept[\($0)]" }) {
    switch error {
    case .closed: self = .sessionNotFound(session)
    case .beyondVocabulary(_, _, _, let position):
      self.init(
        .invalidParams, "\(place(position)): \(error)", ["member": .text(place(position))])
    default: self.init(error)
    }
  }
}

extension StoreError {
  /// The same error, with excerpts of names that a client may have sent.
  fileprivate var repeatingExcerpts: StoreError {
    switch self {
    case .conflict(let id): .conflict(id: id.excerpt)
    case .snapshotName(let name): .snapshotName(name.excerpt)
    case .snapshotExists(let name): .snapshotExists(name.excerpt)
    case .snapshotNotFound(let name): .snapshotNotFound(name.excerpt)
    case .notAFile(let path): .notAFile(path: path.excerpt)
    case .formatVersion(let path, let found, let expected):
      .formatVersion(
        path: StoreError.pathForClients(path).excerpt, found: found, expected: expected)
    case .snapshotDamaged(let name, let reason):
      .snapshotDamaged(snapshot: StoreError.pathForClients(name).excerpt, reason: reason)
    default: self
    }
  }
}

extension Retention.Bound {
  fileprivate var limit: LimitName {
    switch self {
    case .tokens: .retentionTokens
    case .sequences: .retentionSequences
    }
  }
}
