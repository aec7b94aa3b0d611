import CorpusStore
import Drafting
import WireProtocol

/// What one connection has done since it was last added to the service's metrics: plain numbers, so
/// that a step is counted without a lock or an allocation.
struct Tally {
  /// Drafts that were given, by where they were found.
  var localDrafts: UInt64 = 0
  var sharedDrafts: UInt64 = 0
  /// Nothing to say.
  var emptyDrafts: UInt64 = 0
  var draftedTokens: UInt64 = 0
  /// Of drafts whose outcome is known: how many of the first so many tokens were accepted.
  var acceptedTokens: UInt64 = 0
  var acceptedAtPosition = [UInt64](repeating: 0, count: Tally.positions)
  var acceptanceLength = Histogram.tokens
  var matchLength = Histogram.tokens
  /// Requests by method, and the seconds from a line's reading to its answer.
  var durations = [Histogram](repeating: .seconds, count: Method.allCases.count)
  var errors = [UInt64](repeating: 0, count: WireError.Kind.allCases.count)
  private(set) var isEmpty = true

  /// Beyond these, positions are counted as the last one.
  static let positions = 64

  mutating func note(_ draft: borrowing Draft) {
    isEmpty = false
    if draft.isEmpty {
      emptyDrafts += 1
      return
    }
    switch draft.source {
    case .local: localDrafts += 1
    case .shared: sharedDrafts += 1
    }
    draftedTokens += UInt64(draft.count)
    matchLength.add(Double(draft.matchLength))
  }

  mutating func noteAccepted(_ count: Int) {
    isEmpty = false
    acceptedTokens += UInt64(count)
    acceptanceLength.add(Double(count))
    for position in 0..<min(count, Self.positions) { acceptedAtPosition[position] += 1 }
  }

  mutating func noteRequest(_ method: Method, seconds: Double) {
    isEmpty = false
    durations[method.rawValue].add(seconds)
  }

  mutating func noteError(_ kind: WireError.Kind) {
    isEmpty = false
    errors[kind.number] += 1
  }

  /// Adds another to this one, and empties it.
  mutating func take(_ other: inout Tally) {
    if other.isEmpty { return }
    isEmpty = false
    localDrafts += other.localDrafts
    sharedDrafts += other.sharedDrafts
    emptyDrafts += other.emptyDrafts
    draftedTokens += other.draftedTokens
    acceptedTokens += other.acceptedTokens
    for position in 0..<Self.positions {
      acceptedAtPosition[position] += other.acceptedAtPosition[position]
      other.acceptedAtPosition[position] = 0
    }
    acceptanceLength.add(other.acceptanceLength)
    matchLength.add(other.matchLength)
    for method in durations.indices where other.durations[method].count > 0 {
      durations[method].add(other.durations[method])
      other.durations[method].removeAll()
    }
    for kind in errors.indices {
      errors[kind] += other.errors[kind]
      other.errors[kind] = 0
    }
    other.acceptanceLength.removeAll()
    other.matchLength.removeAll()
    (other.localDrafts, other.sharedDrafts, other.emptyDrafts) = (0, 0, 0)
    (other.draftedTokens, other.acceptedTokens) = (0, 0)
    other.isEmpty = true
  }
}

extension WireError.Kind {
  /// Its place in `allCases`.
  var number: Int { Self.numbers[self] ?? 0 }

  private static let numbers = Dictionary(
    uniqueKeysWithValues: allCases.enumerated().map { ($1, $0) })
}
