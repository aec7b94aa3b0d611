import RepriseModel

/// The result of `speculate` with one context.
extension Draft: WireResult {
  public func write(to writer: inout JSONWriter) {
    writer.name("tokens")
    writer.integers(tokens)
    writer.name("parents")
    writer.integers(parents)
    writer.name("probs")
    writer.beginArray()
    for probability in probs { writer.number(probability) }
    writer.endArray()
    writer.name("counts")
    writer.integers(counts)
    writer.name("score")
    writer.number(score)
    writer.name("match_length")
    writer.integer(matchLength)
    writer.name("source")
    writer.string(source.rawValue)
  }

  public init?(result: ResultObject) {
    self.init()
    var isWhole = 0
    result.value.forEachMember { (name, value) in
      switch name {
      case "tokens":
        if value.appendTokens(to: &tokens) == value.count { isWhole += 1 }
      case "parents": if value.appendIntegers(to: &parents) == value.count { isWhole += 1 }
      case "probs": if value.appendNumbers(to: &probs) == value.count { isWhole += 1 }
      case "counts": if value.appendIntegers(to: &counts) == value.count { isWhole += 1 }
      case "score":
        score = value.double
        isWhole += 1
      case "match_length":
        matchLength = Int(value.integer)
        isWhole += 1
      case "source":
        guard let source = Source(rawValue: value.string) else { return }
        self.source = source
        isWhole += 1
      default: break
      }
    }
    // A worker walks the tree by its parents, so the arrays of a faulty service must not mislead
    // it.
    guard isWhole == 7, parents.count == tokens.count, probs.count == tokens.count,
      counts.count == tokens.count,
      parents.indices.allSatisfy({ parents[$0] >= -1 && Int(parents[$0]) < $0 })
    else { return nil }
  }
}

/// The result of `session.step`, and of `speculate` with several contexts: for each a draft or an
/// error.
public struct DraftList: WireResult {
  public var drafts: [Result<Draft, WireError>]

  public init(drafts: [Result<Draft, WireError>]) {
    self.drafts = drafts
  }

  public func write(to writer: inout JSONWriter) {
    Self.begin(&writer)
    for draft in drafts {
      switch draft {
      case .success(let draft): Self.write(draft, to: &writer)
      case .failure(let error): Self.write(error, to: &writer)
      }
    }
    Self.end(&writer)
  }

  // The service writes each draft as soon as it is computed, so that none is kept.
  public static func begin(_ writer: inout JSONWriter) {
    writer.name("drafts")
    writer.beginArray()
  }

  /// Writes a draft as an element of the list.
  public static func write(_ draft: borrowing Draft, to writer: inout JSONWriter) {
    writer.beginObject()
    draft.write(to: &writer)
    writer.endObject()
  }

  /// Writes an error in place of a draft.
  public static func write(_ error: WireError, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.name("error")
    error.write(to: &writer)
    writer.endObject()
  }

  /// Ends the list that `begin` began.
  public static func end(_ writer: inout JSONWriter) { writer.endArray() }

  public init?(result: ResultObject) {
    guard let list = result.member("drafts") else { return nil }
    drafts = []
    var isWhole = true
    list.forEachElement { (_, value) in
      let object = ResultObject(value: value)
      if let error = object.member("error") {
        drafts.append(.failure(WireError(error)))
      } else if let draft = Draft(result: object) {
        drafts.append(.success(draft))
      } else {
        isWhole = false
      }
    }
    if !isWhole { return nil }
  }
}
