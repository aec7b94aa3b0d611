import Testing

@testable import reprise

/// The text format that Prometheus reads, read by the command.
@Suite struct MetricsReadingTests {
  @Test func samplesAreFoundByNameAndLabels() throws {
    let reading = try MetricsReading(
      """
      # HELP a Something with {braces} and "quotes".
      # TYPE a counter
      a 1
      b{x="1"} 2
      b{x="2",y="z"} 3.5
      b{x="2",y="w",} 1e3 1700000000000

      c{} -0.5
      """)
    #expect(reading.total("a") == 1 && reading.total("c") == -0.5)
    #expect(reading.total("b") == 1005.5)
    #expect(reading.total("b", ["x": "2"]) == 1003.5)
    #expect(reading.total("b", ["x": "2", "y": "z"]) == 3.5)
    #expect(reading.total("b", ["x": "3"]) == 0 && reading.total("nothing") == 0)
    #expect(reading.values(of: "x", in: "b") == ["1", "2"])
    #expect(reading.values(of: "x", in: "a") == [])
  }

  @Test func labelsMayHoldAnything() throws {
    let reading = try MetricsReading(#"a{x="}, \"\\ = ,\n#",y="ü"} 1"#)
    #expect(reading.values(of: "x", in: "a") == ["}, \"\\ = ,\n#"])
    #expect(reading.total("a", ["y": "ü"]) == 1)
  }

  @Test func bucketsRiseToInfinity() throws {
    let reading = try MetricsReading(
      "h_bucket{le=\"+Inf\"} 5\nh_bucket{le=\"0.5\"} 2\nh_bucket{le=\"1e-05\"} 1\n")
    let buckets = reading.buckets("h")
    #expect(buckets.map(\.bound) == [1e-05, 0.5, .infinity])
    #expect(buckets.map(\.count) == [1, 2, 5])
  }

  @Test func linesThatAreNoSamplesAreNamed() {
    for line in [
      "a", "a x", "{x=\"1\"} 1", "a{x=\"1\" 1", "a{x=1} 1", "a{x=\"1} 1", "a{=\"1\"} 1",
      "a{x=\"1\\", "a{x=\"1\"}", "1",
    ] {
      #expect(throws: MetricsReading.Malformed(line: line)) { try MetricsReading("b 1\n\(line)\n") }
    }
  }
}
