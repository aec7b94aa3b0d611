/// A setting that a corpus has and another value of it that was asked for.
///
/// The description is for people. Decisions are made by the case.
public enum SettingDifference: Equatable, Sendable {
  case depth(has: Int, asked: Int)
  case tokenizer(has: String?, asked: String?)
  case vocabulary(has: Int?, asked: Int?)
  case retention(has: Retention, asked: Retention)
  case durability(has: Durability, asked: Durability)
  case leadIn(has: Int, asked: Int)
  case endIDs(has: EndIDs, asked: EndIDs)

  /// True if sequences of a corpus with the other setting cannot be added: tokens of different
  /// tokenizers must not meet, and no token id may be beyond the vocabulary.
  public var separatesTokens: Bool {
    switch self {
    case .tokenizer: true
    case .vocabulary(let has, let asked):
      (has ?? Vocabulary.range.upperBound) < (asked ?? Vocabulary.range.upperBound)
    case .depth, .retention, .durability, .leadIn, .endIDs: false
    }
  }

  /// True if the indexes of a corpus with the other setting cannot be used as they are: this adds the
  /// depth, because counts of different depths must not meet. Sequences that are indexed anew may come
  /// from a corpus of another depth.
  public var separatesHistories: Bool {
    if case .depth = self { true } else { separatesTokens }
  }
}

extension SettingDifference: CustomStringConvertible {
  public var description: String {
    switch self {
    case .depth(let has, let asked): "depth is \(has), asked for \(asked)"
    case .tokenizer(let has, let asked):
      "tokenizer is \(has ?? "not set"), asked for \(asked ?? "none")"
    case .vocabulary(let has, let asked):
      "vocabulary is \(has.map(String.init) ?? "not set"), asked for "
        + "\(asked.map(String.init) ?? "none")"
    case .retention(let has, let asked): "retention is \(has), asked for \(asked)"
    case .durability(let has, let asked): "durability is \(has), asked for \(asked)"
    case .leadIn(let has, let asked): "lead_in is \(has), asked for \(asked)"
    case .endIDs(let has, let asked): "end_ids is \(has.list), asked for \(asked.list)"
    }
  }
}

extension CorpusSettings {
  /// The settings that differ from others that are asked for.
  public func differences(from asked: CorpusSettings) -> [SettingDifference] {
    var differences: [SettingDifference] = []
    if depth != asked.depth { differences.append(.depth(has: depth, asked: asked.depth)) }
    if tokenizer != asked.tokenizer {
      differences.append(.tokenizer(has: tokenizer, asked: asked.tokenizer))
    }
    if vocabulary != asked.vocabulary {
      differences.append(.vocabulary(has: vocabulary, asked: asked.vocabulary))
    }
    if retention != asked.retention {
      differences.append(.retention(has: retention, asked: asked.retention))
    }
    if durability != asked.durability {
      differences.append(.durability(has: durability, asked: asked.durability))
    }
    if leadIn != asked.leadIn {
      differences.append(.leadIn(has: leadIn, asked: asked.leadIn))
    }
    if endIDs != asked.endIDs {
      differences.append(.endIDs(has: endIDs, asked: asked.endIDs))
    }
    return differences
  }
}
