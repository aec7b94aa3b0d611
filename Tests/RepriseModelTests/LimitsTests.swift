import RepriseModel
import Testing

@Suite struct LimitsTests {
  @Test func eachLimitIsListedOnceAndWithinItsRange() {
    #expect(Set(Limit.all.map(\.name)).count == Limit.all.count)
    for limit in Limit.all {
      #expect(limit.range.contains(Limits()[keyPath: limit.keyPath]), "\(limit.name)")
    }
  }
}
