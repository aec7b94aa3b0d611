/// The drafted and the accepted tokens of one draft or of many, by the probability that the draft gave
/// them: where probabilities are honest, the share of accepted tokens in each bucket is about its
/// probability.
public struct Calibration: Equatable, Sendable {
  /// The upper bound of each bucket's probabilities; the bound belongs to the bucket.
  public static let upperBounds: [Float] = [
    0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1,
  ]

  public private(set) var drafted = SIMD16<UInt64>()
  public private(set) var accepted = SIMD16<UInt64>()

  public init() {}

  /// The bounds in one register, all but the last; then infinity.
  private static let bounds = {
    var bounds = SIMD16<Float>(repeating: .infinity)
    for (bucket, bound) in upperBounds.dropLast().enumerated() { bounds[bucket] = bound }
    return bounds
  }()

  /// The bucket of a probability.
  public static func bucket(of probability: Float) -> Int {
    let isAbove = bounds .< SIMD16(repeating: probability)
    return Int(SIMD16<Int32>().replacing(with: 1, where: isAbove).wrappedSum())
  }

  /// Counts the tokens of a draft that a model verified, and those of them that it accepted: all on the
  /// path that the output follows.
  ///
  /// - Returns: The number of accepted tokens.
  /// - Complexity: O(drafted tokens).
  public mutating func note(
    _ tokens: Span<Int32>, _ parents: Span<Int32>, _ probabilities: Span<Float>,
    by output: Span<Int32>
  ) -> Int {
    for place in tokens.indices { drafted[Self.bucket(of: probabilities[place])] += 1 }
    return Draft.acceptedTokens(tokens, parents, by: output) { place in
      accepted[Self.bucket(of: probabilities[place])] += 1
    }
  }

  public static func += (one: inout Calibration, other: Calibration) {
    one.drafted &+= other.drafted
    one.accepted &+= other.accepted
  }
}
