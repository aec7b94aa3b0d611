/// Tokens proposed to follow a context, as a path or a tree.
///
/// Entry `i` of each array describes drafted token `i`. A parent stands before its children, so
/// the arrays can be read in one pass. An empty draft says that history has nothing to propose.
///
/// The type is a reusable buffer: `removeAll()` keeps its storage, so that a caller who drafts
/// into the same value again allocates nothing.
public struct Draft: Equatable, Sendable {
  /// A history that drafts are taken from.
  public enum Source: String, Sendable {
    /// The session's own prompt and output.
    case local
    /// The newest outputs of the session's group.
    case group
    /// The corpus.
    case shared
  }

  public var tokens: [Int32] = []

  /// Index in `tokens` of each token's parent; −1 for a token that follows the context directly.
  public var parents: [Int32] = []

  /// The probability of each token along its path, in (0, 1]: by `suffixDecoding` the product of
  /// count ratios, by `estimate` that of the estimates.
  public var probs: [Float] = []

  /// By `suffixDecoding` the number of times that the matched tokens, followed by the path to each
  /// token, occur in the history. By `estimate` the token's count in the first observation that has
  /// it, which is the one of the longest match.
  public var counts: [Int] = []

  /// The expected number of accepted tokens if the probabilities were exact: the sum of `probs`,
  /// added up in double precision in the order of `tokens`.
  public var score: Double = 0

  /// The number of the context's last tokens that were found in the history. 0 in an empty draft.
  public var matchLength: Int = 0

  /// The history that the draft was taken from; by `estimate`, which reads all of them, the one with
  /// the longest match.
  public var source: Source = .shared

  public init() {}

  @inlinable public var count: Int { tokens.count }
  @inlinable public var isEmpty: Bool { tokens.isEmpty }

  /// Empties the draft and keeps its storage.
  @inlinable
  public mutating func removeAll() {
    tokens.removeAll(keepingCapacity: true)
    parents.removeAll(keepingCapacity: true)
    probs.removeAll(keepingCapacity: true)
    counts.removeAll(keepingCapacity: true)
    score = 0
    matchLength = 0
    source = .shared
  }

  /// Removes all but the first `count` tokens. The score is the sum of what is left, and a draft of which
  /// nothing is left matches nothing.
  package mutating func keepFirst(_ count: Int) {
    if count >= self.count { return }
    let removed = self.count - count
    tokens.removeLast(removed)
    parents.removeLast(removed)
    probs.removeLast(removed)
    counts.removeLast(removed)
    score = probs.reduce(0) { $0 + Double($1) }
    if count == 0 { matchLength = 0 }
  }

  /// Removes each token that is not below `vocabulary`, and all that follow it, and all that follow an
  /// end id. The probabilities of the others stay; the score is their sum, and a draft of which nothing is
  /// left matches nothing.
  ///
  /// - Complexity: O(tokens); allocates only where something is removed.
  package mutating func keepTokens(below vocabulary: Int32, notAfter endIDs: EndIDs) {
    func leaves(_ place: Int) -> Bool {
      if tokens[place] >= vocabulary { return true }
      if endIDs.isEmpty || parents[place] < 0 { return false }
      return endIDs.contains(tokens[Int(parents[place])])
    }
    guard let first = tokens.indices.first(where: leaves) else { return }
    // New place of each token; −1 for a token that is removed.
    var places = [Int32](repeating: -1, count: count)
    var kept = 0
    for place in 0..<count {
      let parent = Int(parents[place])
      let newParent = parent < 0 ? -1 : places[parent]
      if parent >= 0 && newParent < 0 { continue }
      if place >= first {
        if tokens[place] >= vocabulary { continue }
        if newParent >= 0 && endIDs.contains(tokens[Int(newParent)]) { continue }
      }
      tokens[kept] = tokens[place]
      parents[kept] = newParent
      probs[kept] = probs[place]
      counts[kept] = counts[place]
      places[place] = Int32(kept)
      kept += 1
    }
    keepFirst(kept)
  }

  /// Counts the tokens that a model accepts if it continues with `output`: the length of the path
  /// in the draft that the output follows.
  public func acceptedTokens(by output: ArraySlice<Int32>) -> Int {
    Self.acceptedTokens(tokens.span, parents.span, by: output.span)
  }

  /// Counts accepted tokens, as above, from a draft's tokens and parents alone.
  ///
  /// - Parameter note: Is called with the place of each accepted token.
  @inlinable
  public static func acceptedTokens(
    _ tokens: Span<Int32>, _ parents: Span<Int32>, by output: Span<Int32>,
    _ note: (_ place: Int) -> Void = { _ in }
  ) -> Int {
    var accepted = 0
    var parent: Int32 = -1
    for place in tokens.indices {
      // Parents stand before their children, so one pass is enough.
      if accepted == output.count { break }
      if parents[place] == parent && tokens[place] == output[accepted] {
        parent = Int32(place)
        accepted += 1
        note(place)
      }
    }
    return accepted
  }

  /// Adds a token below `parent`, which must already stand in the draft or be −1.
  @inlinable
  package mutating func append(token: Int32, parent: Int32, probability: Double, count: Int) {
    assert(parent >= -1 && Int(parent) < tokens.count, "a parent stands before its children")
    tokens.append(token)
    parents.append(parent)
    probs.append(Float(probability))
    counts.append(count)
    score += probability
  }
}
