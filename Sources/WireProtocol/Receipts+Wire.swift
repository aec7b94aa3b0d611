import RepriseModel

/// `sequence.insert`
extension InsertReceipt: WireResult {
  public func write(to writer: inout JSONWriter) {
    writer.name("inserted")
    writer.integer(inserted)
    writer.name("duplicates")
    writer.integer(duplicates)
    writer.name("tokens")
    writer.integer(tokens)
    writer.name("last_order")
    if let lastOrder { writer.integer(lastOrder) } else { writer.null() }
  }

  public init?(result: ResultObject) {
    guard let inserted = result.integer("inserted"),
      let duplicates = result.integer("duplicates"), let tokens = result.integer("tokens")
    else { return nil }
    self.init(
      inserted: inserted, duplicates: duplicates, tokens: tokens,
      lastOrder: result.integer("last_order").map(UInt64.init))
  }
}

/// `sequence.forget`
extension ForgetReceipt: WireResult {
  public func write(to writer: inout JSONWriter) {
    writer.name("forgotten")
    writer.integer(forgotten)
    writer.name("tokens")
    writer.integer(tokens)
    writer.name("missing")
    writer.integer(missing)
    writer.name("older_snapshots")
    writer.strings(olderSnapshots)
  }

  public init?(result: ResultObject) {
    guard let forgotten = result.integer("forgotten"), let tokens = result.integer("tokens"),
      let missing = result.integer("missing"),
      let olderSnapshots = result.strings("older_snapshots")
    else { return nil }
    self.init(
      forgotten: forgotten, tokens: tokens, missing: missing, olderSnapshots: olderSnapshots)
  }
}

/// `corpus.merge`
extension MergeReceipt: WireResult {
  public func write(to writer: inout JSONWriter) {
    writer.name("sequences")
    writer.integer(sequences)
    writer.name("tokens")
    writer.integer(tokens)
    writer.name("duplicates")
    writer.integer(duplicates)
    writer.name("conflicts")
    writer.integer(conflicts)
  }

  public init?(result: ResultObject) {
    guard let sequences = result.integer("sequences"), let tokens = result.integer("tokens"),
      let duplicates = result.integer("duplicates"), let conflicts = result.integer("conflicts")
    else { return nil }
    self.init(
      sequences: sequences, tokens: tokens, duplicates: duplicates, conflicts: conflicts)
  }
}

/// `session.close`
extension RecordReceipt: WireResult {
  public func write(to writer: inout JSONWriter) {
    writer.name("recorded_tokens")
    writer.integer(recordedTokens)
    writer.name("order")
    if let order { writer.integer(order) } else { writer.null() }
    writer.name("unrecorded_reason")
    if let unrecordedReason { writer.string(unrecordedReason.rawValue) } else { writer.null() }
  }

  public init?(result: ResultObject) {
    guard let recordedTokens = result.integer("recorded_tokens") else { return nil }
    self.init(
      recordedTokens: recordedTokens, order: result.integer("order").map(UInt64.init),
      unrecordedReason: result.string("unrecorded_reason").flatMap(UnrecordedReason.init))
  }
}
