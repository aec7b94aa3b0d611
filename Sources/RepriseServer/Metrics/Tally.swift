import CorpusStore
import HistoryEngine
import RepriseModel
import WireProtocol

/// The work of one connection since it was last added to the service's metrics: plain numbers, so
/// that counting a step needs no lock and no allocation.
struct Tally {
  /// Drafts that were given, by their history.
  var local = Found()
  var group = Found()
  var shared = Found()
  /// Drafts without a token.
  var emptyDrafts: UInt64 = 0
  /// Steps in which tokens joined a session's output, and those tokens.
  var steps: UInt64 = 0
  var outputTokens: UInt64 = 0
  /// Drafts of sessions whose outcome is known, tokens in them, the number of these that were
  /// accepted, and for each place in the draft the number of drafts accepted up to it.
  var verifiedDrafts: UInt64 = 0
  var verifiedTokens: UInt64 = 0
  var acceptedTokens: UInt64 = 0
  var acceptedAtPosition = [UInt64](repeating: 0, count: Tally.positions)
  var acceptanceLength = Histogram.tokens
  /// Tokens of these drafts, and the accepted ones, by their probabilities.
  var calibration = Calibration()
  /// Requests by method, and the seconds from a line's reading to its answer.
  var durations = [Histogram](repeating: .seconds, count: Method.allCases.count)
  var errors = [UInt64](repeating: 0, count: ErrorKind.allCases.count)
  private(set) var isEmpty = true

  /// The drafts found in one history.
  struct Found {
    var tokens: UInt64 = 0
    /// One value a draft.
    var matchLength = Histogram.tokens

    mutating func note(_ draft: borrowing Draft) {
      tokens += UInt64(draft.count)
      matchLength.add(Double(draft.matchLength))
    }

    mutating func take(_ other: inout Found) {
      tokens += other.tokens
      matchLength.add(other.matchLength)
      other.tokens = 0
      other.matchLength.removeAll()
    }
  }

  /// Tokens at later places are counted in the totals alone.
  static let positions = 64

  mutating func note(_ draft: borrowing Draft) {
    isEmpty = false
    if draft.isEmpty {
      emptyDrafts += 1
      return
    }
    switch draft.source {
    case .local: local.note(draft)
    case .group: group.note(draft)
    case .shared: shared.note(draft)
    }
  }

  mutating func noteStep(outputTokens count: Int, _ outcome: DraftOutcome?) {
    if count == 0 { return }
    isEmpty = false
    steps += 1
    outputTokens += UInt64(count)
    guard let outcome else { return }
    verifiedDrafts += 1
    verifiedTokens += UInt64(outcome.drafted)
    acceptedTokens += UInt64(outcome.accepted)
    acceptanceLength.add(Double(outcome.accepted))
    calibration += outcome.calibration
    for position in 0..<min(outcome.accepted, Self.positions) { acceptedAtPosition[position] += 1 }
  }

  mutating func noteRequest(_ method: Method, seconds: Double) {
    isEmpty = false
    durations[method.rawValue].add(seconds)
  }

  mutating func noteError(_ kind: ErrorKind) {
    isEmpty = false
    errors[kind.number] += 1
  }

  /// Adds another tally to this one, and sets the other to zero.
  mutating func take(_ other: inout Tally) {
    if other.isEmpty { return }
    isEmpty = false
    local.take(&other.local)
    group.take(&other.group)
    shared.take(&other.shared)
    emptyDrafts += other.emptyDrafts
    steps += other.steps
    outputTokens += other.outputTokens
    verifiedDrafts += other.verifiedDrafts
    verifiedTokens += other.verifiedTokens
    acceptedTokens += other.acceptedTokens
    for position in 0..<Self.positions {
      acceptedAtPosition[position] += other.acceptedAtPosition[position]
      other.acceptedAtPosition[position] = 0
    }
    acceptanceLength.add(other.acceptanceLength)
    calibration += other.calibration
    other.calibration = Calibration()
    for method in durations.indices where other.durations[method].count > 0 {
      durations[method].add(other.durations[method])
      other.durations[method].removeAll()
    }
    for kind in errors.indices {
      errors[kind] += other.errors[kind]
      other.errors[kind] = 0
    }
    other.acceptanceLength.removeAll()
    (other.emptyDrafts, other.steps, other.outputTokens) = (0, 0, 0)
    (other.verifiedDrafts, other.verifiedTokens, other.acceptedTokens) = (0, 0, 0)
    other.isEmpty = true
  }
}

extension ErrorKind {
  /// Its place in `allCases`.
  var number: Int { Self.numbers[self] ?? 0 }

  private static let numbers = Dictionary(
    uniqueKeysWithValues: allCases.enumerated().map { ($1, $0) })
}
