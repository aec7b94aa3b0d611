import RepriseModel
import TestSupport
import Testing

@Suite struct CalibrationTests {
  @Test func aProbabilityIsInTheBucketOfItsBound() {
    let bounds = Calibration.upperBounds
    #expect(bounds == bounds.sorted() && bounds.last == 1 && bounds.count <= 16)
    #expect(Calibration.bucket(of: 0) == 0)
    for (bucket, bound) in bounds.enumerated() {
      #expect(Calibration.bucket(of: bound) == bucket)
      #expect(Calibration.bucket(of: bound.nextDown) == bucket)
      #expect(Calibration.bucket(of: bound.nextUp) == min(bucket + 1, bounds.count - 1))
    }
  }

  @Test func tokensOnTheOutputsPathAreAccepted() {
    // 7 → 8 → 9 and 7 → 5, beside 6.
    let (tokens, parents) = ([Int32]([7, 8, 6, 9, 5]), [Int32]([-1, 0, -1, 1, 0]))
    let probabilities: [Float] = [0.95, 0.45, 0.15, 0.05, 0.01]
    for (output, accepted, buckets) in [
      ([], 0, []), ([6], 1, [3]), ([9], 0, []), ([7, 5, 9], 2, [11, 0]),
      ([7, 8, 9, 1], 3, [11, 6, 1]), ([7, 8], 2, [11, 6]),
    ] as [([Int32], Int, [Int])] {
      var calibration = Calibration()
      let count = calibration.note(
        tokens.span, parents.span, probabilities.span, by: output.span)
      #expect(
        count == accepted
          && count == Draft.acceptedTokens(tokens.span, parents.span, by: output.span))
      #expect(calibration.drafted.wrappedSum() == 5 && calibration.drafted[3] == 1)
      #expect((0..<16).filter { calibration.accepted[$0] == 1 } == buckets.sorted())
      #expect(calibration.accepted.wrappedSum() == UInt64(accepted))
      var twice = calibration
      twice += calibration
      #expect(twice.drafted.wrappedSum() == 10)
    }
  }
}
