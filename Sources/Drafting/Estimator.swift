import RepriseModel
import SuffixIndex

/// A token that may be next.
struct Candidate: BitwiseCopyable {
  var token: Int32
  /// The estimated probability that it is next.
  var probability: Double
  /// Its count in the first observation that has it.
  var count: Int
}

/// One of the histories that are drafted from together.
public struct DraftHistory: Sendable {
  let source: Draft.Source
  /// Its indexes, among those of all histories.
  let indexes: Range<Int>

  public init(_ source: Draft.Source, indexes: Range<Int>) {
    self.source = source
    self.indexes = indexes
  }

  /// A factor for the odds of its sure runs: a text repeats itself more reliably than others
  /// repeat it. A group has few outputs, so a single next token says less.
  var sureWeight: Double {
    switch source {
    case .local: 1.5
    case .group: 0.5
    case .shared: 1
    }
  }
}

/// Estimates the next token from all lengths of match in all histories.
///
/// Observations are visited from the longest match down, at equal length in the order of the
/// histories. Each takes a share of the probability that is left, by its odds, and spreads it by its
/// own counts; the rest is left to shorter matches.
struct Estimator {
  /// Where less than this is left, shorter matches are not visited. They would add little, and what
  /// they add makes the estimate worse.
  static let leftMin = 0.3

  private var observed: [ObservedHistory] = []
  private var observation = Observation()

  /// The longest match of an estimate, and the history that has it.
  struct Longest {
    var length = 0
    var history = 0
  }

  /// Fills `candidates`, in no order, and returns the longest match.
  ///
  /// - Parameters:
  ///   - matches: The longest match in each index of `indexes`.
  ///   - lengthMin: The least length of a match that is observed, 1 or more.
  /// - Complexity: O(observations · indexes) index steps; usually two observations are enough.
  mutating func estimate(
    _ histories: [DraftHistory], _ indexes: [AnyHistoryIndex],
    _ matches: inout DraftedMatches, lengthMin: Int, into candidates: inout [Candidate]
  ) -> Longest {
    candidates.removeAll(keepingCapacity: true)
    while observed.count < histories.count { observed.append(ObservedHistory()) }
    for history in histories.indices {
      observed[history].begin(matches, in: histories[history].indexes, lengthMin: lengthMin)
    }
    var longest = Longest()
    var left = 1.0
    while true {
      guard let (chosen, length) = nextHistory(histories.count, indexes, &matches) else {
        return longest
      }
      if longest.length == 0 { longest = Longest(length: length, history: chosen) }
      observed[chosen].take(indexes, &matches, into: &observation)
      let odds = observation.odds(sureWeight: histories[chosen].sureWeight)
      let share = odds / (1 + odds)
      let each = left * share / Double(observation.count)
      for place in observation.children.indices {
        add(observation.children[place], each, to: &candidates)
      }
      left *= 1 - share
      if left < Self.leftMin { return longest }
    }
  }

  /// The history with the longest next observation, the first of them at equal length.
  @inline(__always)
  private mutating func nextHistory(
    _ count: Int, _ indexes: [AnyHistoryIndex], _ matches: inout DraftedMatches
  ) -> (history: Int, length: Int)? {
    while true {
      var (bound, chosen) = (0, 0)
      for history in 0..<count where observed[history].lengthBound > bound {
        (bound, chosen) = (observed[history].lengthBound, history)
      }
      if bound == 0 { return nil }
      // Only this one is read: no other can have a longer one.
      if observed[chosen].nextLength(indexes, &matches) == bound { return (chosen, bound) }
    }
  }

  @inline(__always)
  private func add(_ child: ChildCount, _ each: Double, to candidates: inout [Candidate]) {
    let probability = each * Double(child.count)
    for place in candidates.indices where candidates[place].token == child.token {
      candidates[place].probability += probability
      return
    }
    candidates.append(
      Candidate(token: child.token, probability: probability, count: child.count))
  }
}
