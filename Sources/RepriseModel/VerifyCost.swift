/// The time that a model takes to verify drafted tokens, from which the number of drafted tokens
/// follows: the one that makes the expected time for each token of output least.
///
/// In a step, each sequence of the batch gets one token of the model's own and those of its draft that
/// are accepted. Drafting n tokens whose probabilities add up to S changes the expected time a token from
/// 1 / batch to time(n) / (batch + S).
public struct VerifyCost: Equatable, Sendable {
  /// The measured time of a step.
  public struct Point: Equatable, Sendable {
    /// The number of tokens that the step processes: one for each sequence, and the drafted ones.
    public var tokens: Int
    /// In any unit, the same for all points of a table.
    public var time: Double

    public init(tokens: Int, time: Double) {
      self.tokens = tokens
      self.time = time
    }
  }

  /// The time of one more drafted token, as a fraction of a step without drafts.
  public static let perTokenRange: ClosedRange<Double> = 0...1
  public static let pointsMax = 64
  public static let tokensRange = 1...(1 << 20)
  public static let timeRange: ClosedRange<Double> = 1e-9...1e9
  /// The sequences of a batch.
  public static let batchRange = 1...(1 << 16)
  /// The most tokens of one call that are verified, whatever they cost: as many as engines process in a
  /// step. They are sorted while nothing else is answered on the thread.
  public static let draftedTokensMax = 1 << 13

  /// Rising in tokens, not falling in time; empty if the cost is the same for each token.
  public let points: [Point]
  /// The cost of one more drafted token; 0 if there are points.
  public let perToken: Double

  /// - Parameter perToken: In `perTokenRange`.
  public init?(perToken: Double) {
    guard Self.perTokenRange.contains(perToken) else { return nil }
    self.perToken = perToken
    points = []
  }

  /// Between two points, time rises evenly; after the last point it rises as before it.
  ///
  /// - Parameter points: 2 to `pointsMax` points, rising in tokens and not falling in time, within
  ///   their ranges.
  public init?(points: [Point]) {
    guard (2...Self.pointsMax).contains(points.count),
      points.allSatisfy({
        Self.tokensRange.contains($0.tokens) && Self.timeRange.contains($0.time)
      }),
      zip(points, points.dropFirst()).allSatisfy({ $0.tokens < $1.tokens && $0.time <= $1.time })
    else { return nil }
    self.points = points
    perToken = 0
  }

  /// The time of a step, in the unit of the points.
  ///
  /// - Parameter end: The point at which to begin looking for the one that the number of tokens comes before:
  ///   1, or the one found for a smaller number.
  private func time(ofStep tokens: Double, from end: inout Int) -> Double {
    while end < points.count - 1 && tokens > Double(points[end].tokens) { end += 1 }
    let (first, second) = (points[end - 1], points[end])
    if tokens <= Double(first.tokens) { return first.time }
    let slope = (second.time - first.time) / Double(second.tokens - first.tokens)
    return first.time + slope * (tokens - Double(first.tokens))
  }

  private func time(ofStep tokens: Int) -> Double {
    var end = 1
    return time(ofStep: Double(tokens), from: &end)
  }

  /// The time of a step with drafts, as a multiple of that without.
  ///
  /// - Parameter drafted: Drafted tokens of the whole batch.
  public func time(drafted: Int, batch: Int) -> Double {
    points.isEmpty
      ? 1 + perToken * Double(drafted) : time(ofStep: batch + drafted) / time(ofStep: batch)
  }

  /// The drafts of some of a batch's sequences and those of all of them.
  public struct Batch: Equatable, Sendable {
    /// The sequences whose drafts are known here.
    public var sequences: Int
    /// The sequences of the whole batch. The others are taken to be drafted for alike.
    public var all: Int

    public init(sequences: Int, of all: Int) {
      self.sequences = sequences
      self.all = max(sequences, all)
    }
  }

  /// The probability below which no token is worth its verification, whatever the other probabilities are.
  /// It is at least 0.01, so that drafting ends where verification is free.
  ///
  /// Leaving out the last token of the best choice does not lower the expected time a token. The token's
  /// probability is therefore at least the slope of the time, relative to a step without drafts, times the
  /// expected tokens of a step. These are no fewer than the batch's sequences.
  public func leastProbability(batch: Int) -> Double {
    var slope = perToken
    if !points.isEmpty {
      let base = time(ofStep: batch)
      slope = .infinity
      for (first, second) in zip(points, points.dropFirst())
      where second.tokens > batch || second == points[points.count - 1] {
        slope = min(slope, (second.time - first.time) / Double(second.tokens - first.tokens) / base)
      }
      // Below the first point the time is constant.
      if batch < points[0].tokens { slope = 0 }
    }
    return min(1, max(0.01, slope * Double(batch)))
  }

  /// The number of most probable tokens that are worth their verification.
  ///
  /// - Parameter probabilities: Of all tokens of the known drafts, falling.
  /// - Complexity: O(tokens + points).
  public func count(of probabilities: [Float], _ batch: Batch) -> Int {
    let share = Double(batch.all) / Double(max(1, batch.sequences))
    var best = (count: 0, tokensPerTime: Double(batch.sequences))
    var expected = Double(batch.sequences)
    let base = points.isEmpty ? 1 : time(ofStep: batch.all)
    var end = 1
    for place in probabilities.indices {
      expected += Double(probabilities[place])
      let drafted = Double(place + 1) * share
      let time =
        points.isEmpty
        ? 1 + perToken * drafted : time(ofStep: Double(batch.all) + drafted, from: &end) / base
      if expected / time > best.tokensPerTime { best = (place + 1, expected / time) }
    }
    return best.count
  }
}
