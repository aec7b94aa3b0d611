/// A snapshot, as its manifest describes it.
public struct SnapshotDescription: Equatable, Sendable {
  /// Its name in the store; the path of a file that lies elsewhere.
  public var name: String
  /// The corpus that it was taken of.
  public var corpus: CorpusName
  public var sequences: Int
  public var tokens: Int
  /// Bytes of the file.
  public var bytes: Int
  /// The digest of the contents, XXH3 of 128 bits, in 32 hexadecimal digits.
  public var digest: String
  /// The time at which it was taken, in seconds since 1970.
  public var createdSeconds: UInt64

  public init(
    name: String, corpus: CorpusName, sequences: Int, tokens: Int, bytes: Int, digest: String,
    createdSeconds: UInt64
  ) {
    self.name = name
    self.corpus = corpus
    self.sequences = sequences
    self.tokens = tokens
    self.bytes = bytes
    self.digest = digest
    self.createdSeconds = createdSeconds
  }
}

/// The place of a snapshot.
public enum SnapshotReference: Equatable, Sendable {
  /// In the store, under a name.
  case named(String)
  /// Any file that the reader may read.
  case file(path: String)

  public static let nameBytesMax = 128
  /// The rule of names in words, to go behind "expected".
  public static let nameRule = RepriseModel.nameRule(bytesMax: nameBytesMax)

  /// True if a text can name a snapshot in a store: the rule is that of a corpus's name, with up to 128
  /// bytes.
  public static func isName(_ text: String) -> Bool {
    RepriseModel.isName(text, bytesMax: nameBytesMax)
  }
}
