import RepriseModel

/// The last page of a snapshot's file. All bytes before it are an LMDB environment.
///
///     0   u64  "RPRSNAP\n"
///     8   u32  version
///     12  u32  bytes of the settings
///     16  u64  bytes of the environment
///     24  u64  when it was taken, seconds since 1970
///     32  u64  sequences
///     40  u64  tokens
///     48  u64  lower half of the XXH3 (128 bits) of the environment
///     56  u64  upper half
///     64  u32  bytes of the corpus's name
///     68  name, UTF-8; settings, as in table `meta`; zeros
///     4088 u64 XXH3 of all before
package struct SnapshotManifest: Equatable {
  package var environmentBytes: Int
  package var createdSeconds: UInt64
  package var sequences: Int
  package var tokens: Int
  package var digest: Digest
  package var corpus: CorpusName
  package var settings: CorpusSettings

  package static let byteCount = 4096
  package static let version: UInt32 = 4
  /// "RPRSNAP\n", read as a little-endian integer.
  package static let magic: UInt64 = 0x0A_50_41_4E_53_52_50_52

  package func encoded() -> [UInt8] {
    let settings = settings.encoded()
    var bytes: [UInt8] = []
    bytes.append(Self.magic)
    bytes.append(Self.version)
    bytes.append(UInt32(settings.count))
    for value in [UInt64(environmentBytes), createdSeconds, UInt64(sequences), UInt64(tokens)] {
      bytes.append(value)
    }
    bytes.append(digest.low)
    bytes.append(digest.high)
    bytes.append(UInt32(corpus.text.utf8.count))
    bytes.append(contentsOf: corpus.text.utf8)
    bytes.append(contentsOf: settings)
    bytes.append(contentsOf: repeatElement(0, count: Self.byteCount - 8 - bytes.count))
    bytes.appendChecksum(seed: Self.magic)
    return bytes
  }

  /// Decodes a manifest.
  ///
  /// - Throws: A sentence that says why these bytes are not a manifest.
  package init(_ bytes: [UInt8], fileBytes: Int) throws(Unreadable) {
    var start = RecordReader(bytes.rawSpan)
    guard start.read(UInt64.self) == Self.magic else {
      throw Unreadable(reason: "its last page is not a snapshot's manifest")
    }
    let version = start.read(UInt32.self) ?? 0
    guard version == Self.version else { throw Unreadable(version: version) }
    guard var reader = RecordReader(checked: bytes.rawSpan, seed: Self.magic),
      reader.read(UInt64.self) != nil, reader.read(UInt32.self) != nil,
      let settingsBytes = reader.read(UInt32.self), let environmentBytes = reader.read(UInt64.self),
      let created = reader.read(UInt64.self), let sequences = reader.read(UInt64.self),
      let tokens = reader.read(UInt64.self), let low = reader.read(UInt64.self),
      let high = reader.read(UInt64.self), let nameBytes = reader.read(UInt32.self),
      let name = reader.readString(bytes: Int(nameBytes)).flatMap(CorpusName.init),
      [environmentBytes, sequences, tokens].allSatisfy({ $0 < 1 << 60 }),
      let settings = reader.read(bytes: Int(settingsBytes), { CorpusSettings(encoded: $0) })
    else { throw Unreadable(reason: "the checksum of its manifest is wrong") }
    guard Int(environmentBytes) == fileBytes - Self.byteCount else {
      throw Unreadable(
        reason: "it has \(fileBytes) bytes, expected \(Int(environmentBytes) + Self.byteCount)")
    }
    self.environmentBytes = Int(environmentBytes)
    createdSeconds = created
    self.sequences = Int(sequences)
    self.tokens = Int(tokens)
    digest = Digest(low: low, high: high)
    corpus = name
    self.settings = settings
  }

  package init(
    environmentBytes: Int, createdSeconds: UInt64, size: HistorySize, digest: Digest,
    corpus: CorpusName, settings: CorpusSettings
  ) {
    self.environmentBytes = environmentBytes
    self.createdSeconds = createdSeconds
    sequences = size.sequences
    tokens = size.tokens
    self.digest = digest
    self.corpus = corpus
    self.settings = settings
  }

  package struct Unreadable: Error {
    var reason = ""
    /// The version of a manifest that another version of Reprise wrote.
    var version: UInt32?
  }

  package func description(name: String) -> SnapshotDescription {
    SnapshotDescription(
      name: name, corpus: corpus, sequences: sequences, tokens: tokens,
      bytes: environmentBytes + Self.byteCount, digest: digest.description,
      createdSeconds: createdSeconds)
  }
}
