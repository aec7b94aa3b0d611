import RepriseModel

/// `snapshot` or `path`, exactly one of them. All that `snapshot.verify` takes.
extension SnapshotReference {
  /// The two members while they are read, in any order.
  struct Reader {
    private var snapshot: String?
    private var path: String?

    /// Reads a member if it is one of the two; any other is unknown.
    mutating func read(
      _ name: String, _ member: Member, _ limits: Limits
    ) throws(WireError) {
      switch name {
      case "snapshot": try member.set(&snapshot, member.snapshotName(limits))
      case "path": try member.set(&path, member.path(limits))
      default: throw member.unknown
      }
    }

    func reference() throws(WireError) -> SnapshotReference {
      switch (snapshot, path) {
      case (let name?, nil): return .named(name)
      case (nil, let path?): return .file(path: path)
      case (nil, nil):
        throw WireError(
          .invalidParams,
          "params has neither snapshot nor path; give the name of a snapshot, or a file's path",
          ["member": .text("params.snapshot")])
      default:
        throw WireError(
          .invalidParams, "params has both snapshot and path; give one of them",
          ["member": .text("params.path")])
      }
    }
  }

  init(_ params: JSONValue?, _ limits: Limits) throws(WireError) {
    var reader = Reader()
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      try reader.read(name, member, limits)
    }
    self = try reader.reference()
  }

  func write(to writer: inout JSONWriter) {
    switch self {
    case .named(let name):
      writer.name("snapshot")
      writer.string(name)
    case .file(let path):
      writer.name("path")
      writer.string(path)
    }
  }
}

/// `snapshot.create`: takes a snapshot of a corpus while it is read and written.
public struct SnapshotCreate: Equatable, Sendable {
  public var corpus: CorpusName
  /// The snapshot's name; nil lets the service compose one of the corpus's name and the time.
  public var name: String?

  public init(corpus: CorpusName, name: String? = nil) {
    self.corpus = corpus
    self.name = name
  }

  init(_ params: JSONValue?, _ limits: Limits) throws(WireError) {
    var (corpus, snapshot): (CorpusName?, String?)
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "corpus": try member.set(&corpus, member.corpusToFind())
      case "name": try member.set(&snapshot, member.snapshotName(limits))
      default: throw member.unknown
      }
    }
    self.init(corpus: try required(corpus, "corpus"), name: snapshot)
  }

  func write(to writer: inout JSONWriter) {
    writer.name("corpus")
    writer.string(corpus.text)
    if let name {
      writer.name("name")
      writer.string(name)
    }
  }
}

/// `snapshot.restore`: verifies a snapshot and creates a corpus from it, completely or not at all.
public struct SnapshotRestore: Equatable, Sendable {
  public var snapshot: SnapshotReference
  public var corpus: CorpusName
  /// True if an existing corpus of that name may be replaced.
  public var replace = false

  public init(_ snapshot: SnapshotReference, corpus: CorpusName, replace: Bool = false) {
    self.snapshot = snapshot
    self.corpus = corpus
    self.replace = replace
  }

  init(_ params: JSONValue?, _ limits: Limits) throws(WireError) {
    var corpus: CorpusName?
    var replace: Bool?
    var reader = SnapshotReference.Reader()
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "corpus": try member.set(&corpus, member.corpusToMake())
      case "replace": try member.set(&replace, member.bool())
      default: try reader.read(name, member, limits)
      }
    }
    self.init(
      try reader.reference(), corpus: try required(corpus, "corpus"), replace: replace ?? false)
  }

  func write(to writer: inout JSONWriter) {
    snapshot.write(to: &writer)
    writer.name("corpus")
    writer.string(corpus.text)
    if replace {
      writer.name("replace")
      writer.bool(true)
    }
  }
}
