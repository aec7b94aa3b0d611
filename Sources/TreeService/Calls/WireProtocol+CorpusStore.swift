import CorpusStore
import WireProtocol

// Conversions between the store's types and the wire's. The command uses these too, where it opens
// a store itself.

extension CorpusSettings {
  package init(_ call: CorpusCreate) {
    self.init(
      depth: call.depth, tokenizer: call.tokenizer,
      retention: Retention(
        tokens: call.retention.tokens, sequences: call.retention.sequences,
        ageSeconds: call.retention.ageSeconds),
      durability: Durability(call.durability), vocabulary: call.vocabulary)
  }
}

extension Durability {
  fileprivate init(_ durability: CorpusDurability) {
    switch durability {
    case .commit: self = .commit
    case .interval(let millis): self = .interval(millis: millis)
    }
  }
}

extension CorpusDurability {
  fileprivate init(_ durability: Durability) {
    switch durability {
    case .commit: self = .commit
    case .interval(let millis): self = .interval(millis: millis)
    }
  }
}

extension CorpusRetention {
  fileprivate init(_ retention: Retention) {
    self.init(
      tokens: retention.tokens, sequences: retention.sequences, ageSeconds: retention.ageSeconds)
  }
}

extension SharePolicy {
  package init(_ share: SessionOpen.Share) {
    switch share {
    case .live: self = .live
    case .close: self = .close
    case .never: self = .never
    }
  }
}

extension SnapshotSource {
  package init(_ reference: SnapshotReference) {
    switch reference {
    case .named(let name): self = .named(name)
    case .file(let path): self = .file(path: path)
    }
  }
}

extension CorpusDescription {
  package init(_ corpus: Corpus) {
    let settings = corpus.settings
    self.init(
      corpus: corpus.name, tokenizer: settings.tokenizer, depth: settings.depth,
      retention: CorpusRetention(settings.retention),
      durability: CorpusDurability(settings.durability), vocabulary: settings.vocabulary)
  }
}

extension CorpusStatistics {
  package init(_ corpus: Corpus) {
    let settings = corpus.settings
    let stats = corpus.stats()
    self.init(
      corpus: corpus.name, tokenizer: settings.tokenizer, depth: settings.depth,
      sequences: stats.sequences, tokens: stats.tokens, openTokens: stats.openTokens,
      bytesOnDisk: stats.bytesOnDisk, bytesInMemory: stats.bytesInMemory,
      bytesPerToken: stats.bytesPerToken, segments: stats.segments, sessions: stats.sessions,
      oldest: stats.oldestOrder, newest: stats.newestOrder,
      retention: CorpusRetention(settings.retention),
      durability: CorpusDurability(settings.durability), vocabulary: settings.vocabulary,
      unsavedSequences: stats.sequencesUnsaved, damage: stats.damage,
      segmentsWaiting: stats.segmentsWaiting)
  }
}

extension CorpusMerged {
  package init(_ receipt: MergeReceipt) {
    self.init(
      sequences: receipt.sequences, tokens: receipt.tokens, duplicates: receipt.duplicates,
      conflicts: receipt.conflicts)
  }
}

extension Forgotten {
  package init(_ receipt: ForgetReceipt) {
    self.init(
      forgotten: receipt.forgotten, tokens: receipt.tokens, missing: receipt.missing,
      olderSnapshots: receipt.olderSnapshots)
  }
}

extension Inserted {
  package init(_ receipt: InsertReceipt) {
    self.init(
      inserted: receipt.inserted, duplicates: receipt.duplicates, tokens: receipt.tokens,
      lastOrder: receipt.lastOrder)
  }
}

extension SessionClosed {
  package init(_ receipt: RecordReceipt) {
    let reason: UnrecordedReason? =
      switch receipt.unrecorded {
      case nil: nil
      case .notWanted: .record
      case .notShared: .share
      case .empty: .empty
      case .readOnly: .readOnly
      case .retention: .retention
      }
    self.init(
      recordedTokens: receipt.recordedTokens, order: receipt.order, unrecordedReason: reason)
  }
}

extension SnapshotDescription {
  package init(_ info: SnapshotInfo) {
    self.init(
      snapshot: info.name, corpus: info.corpus, sequences: info.sequences, tokens: info.tokens,
      bytes: info.bytes, digest: info.digest, createdSeconds: info.createdSeconds)
  }
}
