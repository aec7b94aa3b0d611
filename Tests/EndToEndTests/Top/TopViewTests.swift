import Testing

@testable import reprise

/// The display of `reprise top` for two readings of a service.
@Suite struct TopViewTests {
  /// Some metrics of a service with `factor` times the load of another.
  private static func metrics(_ factor: Int, start: Int = 1000, corpora: Int = 2) -> String {
    var text = """
      # HELP reprise_build_info The version that runs.
      # TYPE reprise_build_info gauge
      reprise_build_info{version="0.1.0"} 1
      process_start_time_seconds \(start)
      process_cpu_seconds_total \(factor)
      process_resident_memory_bytes 1288490189
      reprise_store_bytes 3650722201
      reprise_connections 3
      reprise_sessions 64
      reprise_session_steps_total \(1000 * factor)
      reprise_session_output_tokens_total \(3500 * factor)
      reprise_spec_decode_num_drafts_total \(800 * factor)
      reprise_spec_decode_num_draft_tokens_total \(8000 * factor)
      reprise_spec_decode_num_accepted_tokens_total \(2500 * factor)
      reprise_spec_decode_num_accepted_tokens_per_pos_total{position="0"} \(800 * factor)
      reprise_spec_decode_num_accepted_tokens_per_pos_total{position="1"} \(400 * factor)
      reprise_spec_decode_num_accepted_tokens_per_pos_total{position="2"} \(100 * factor)
      reprise_spec_decode_num_accepted_tokens_per_pos_total{position="3"} 0
      reprise_drafts_total{source="local"} \(300 * factor)
      reprise_drafts_total{source="shared"} \(500 * factor)
      reprise_drafts_total{source="none"} \(200 * factor)
      reprise_request_duration_seconds_bucket{method="session.step",le="1e-05"} 0
      reprise_request_duration_seconds_bucket{method="session.step",le="0.0001"} \(900 * factor)
      reprise_request_duration_seconds_bucket{method="session.step",le="0.01"} \(1000 * factor)
      reprise_request_duration_seconds_bucket{method="session.step",le="+Inf"} \(1000 * factor)
      reprise_request_duration_seconds_count{method="session.step"} \(1000 * factor)
      reprise_request_duration_seconds_bucket{method="sequence.insert",le="10"} 0
      reprise_request_duration_seconds_bucket{method="sequence.insert",le="+Inf"} \(factor)
      reprise_request_duration_seconds_count{method="sequence.insert"} \(factor)
      reprise_errors_total{kind="conflict"} 7
      reprise_errors_total{kind="busy"} \(4 * factor)
      reprise_errors_total{kind="invalid_params"} \(20 * factor)

      """
    for corpus in 0..<corpora {
      // The last one is the busiest.
      let steps = 100 * factor * corpus
      for (name, value) in [
        ("sequences", 12_345), ("tokens", 1_000_000 + corpus), ("disk_bytes", 13_400_000),
        ("memory_bytes", 600_000), ("sessions", 32), ("segments", 5), ("merges_total", 17),
        ("damage", 0), ("steps_total", steps), ("output_tokens_total", 4 * steps),
      ] { text += "reprise_corpus_\(name){corpus=\"corpus-\(corpus)\"} \(value)\n" }
    }
    return text
  }

  private static func snapshot(
    _ factor: Int, uptime: Double, start: Int = 1000, corpora: Int = 2
  ) throws -> TopSnapshot {
    TopSnapshot(
      version: "0.1.0", uptimeSeconds: uptime,
      reading: try MetricsReading(metrics(factor, start: start, corpora: corpora)))
  }

  private static func lines(
    before: TopSnapshot?, after: TopSnapshot, trouble: String? = nil, width: Int = 120,
    height: Int = 40
  ) -> [String] {
    TopView(
      before: before, after: after, place: "/run/s", trouble: trouble, width: width, height: height
    ).lines.map(\.text)
  }

  @Test func twoLooksGiveRatesBetweenThem() throws {
    let lines = try Self.lines(
      before: Self.snapshot(1, uptime: 93_600), after: Self.snapshot(3, uptime: 93_602))
    #expect(
      lines == [
        "reprise 0.1.0  /run/s  up 1 d 2 h  in 2.0 s",
        "connections 3   sessions 64   memory 1.2 GiB   disk 3.4 GiB   cpu 100 %",
        "",
        "                  steps/s  tokens/s  tokens/step  drafted/s  accepted/s  acceptance",
        "speculation          1000      3500         3.50       8000        2500      31.2 %",
        "found in        own text 30.0 %   group 0.0 %   history 50.0 %   nothing 20.0 %",
        "accepted at     █▅▂  1: 100.0 %  2: 50.0 %  4: 0.0 %",
        "",
        "                  calls/s     p50     p99",
        "session.step         1000   60 µs  9.0 ms",
        "speculate               0       -       -",
        "session.open            0       -       -",
        // All took longer than the last bound.
        "sequence.insert         1  10.0 s  10.0 s",
        "errors/s        invalid_params 20   busy 4",
        "",
        "corpus            steps/s  tokens/step  sessions  sequences  tokens  bytes/token  segments"
          + "  merges  damage",
        "corpus-1              100         4.00        32     12.3 k   1.0 M         14.0         5"
          + "      17       0",
        "corpus-0                0            -        32     12.3 k   1.0 M         14.0         5"
          + "      17       0",
      ])
  }

  @Test func clientReportsTakeOneLine() throws {
    func snapshot(_ factor: Int) throws -> TopSnapshot {
      let text =
        Self.metrics(factor, start: 1000, corpora: 1)
          + """
          reprise_client_steps_total{client="sglang"} \(100 * factor)
          reprise_client_steps_total{client="vllm"} \(1000 * factor)
          reprise_client_steps_total{client="idle"} 7
          reprise_client_drafts_missed_total{client="vllm",reason="late"} \(50 * factor)
          reprise_client_drafts_missed_total{client="vllm",reason="empty"} \(100 * factor)
          reprise_client_drafts_missed_total{client="vllm",reason="down"} 9

          """
      return TopSnapshot(
        version: "1", uptimeSeconds: Double(factor), reading: try MetricsReading(text))
    }
    let lines = try Self.lines(before: snapshot(1), after: snapshot(3))
    #expect(
      lines.contains(
        "clients report  vllm 1000 steps/s, without draft 15.0 %, late 5.0 %   "
          + "sglang 100 steps/s, without draft 0.0 %"), "\(lines)")
  }

  @Test func oneLookGivesRatesSinceTheStart() throws {
    let lines = try Self.lines(before: nil, after: Self.snapshot(3, uptime: 3))
    #expect(lines[0] == "reprise 0.1.0  /run/s  up 3 s  since its start")
    #expect(lines[4].hasPrefix("speculation          1000      3500         3.50"))
  }

  @Test func aRestartBeginsAnew() throws {
    let before = try Self.snapshot(9, uptime: 90)
    let restarted = try Self.snapshot(1, uptime: 95, start: 2000)
    #expect(Self.lines(before: before, after: restarted)[0].hasSuffix("since its start"))
    let earlier = try Self.snapshot(1, uptime: 1)
    #expect(Self.lines(before: before, after: earlier)[0].hasSuffix("since its start"))
  }

  @Test func troubleIsShownAboveTheLastReading() throws {
    let last = try Self.snapshot(1, uptime: 1)
    let view = TopView(
      before: nil, after: last, place: "s", trouble: "gone", width: 80, height: 40)
    #expect(view.lines[2] == TopView.Line(text: "gone", style: .alarm))
    #expect(Self.lines(before: nil, after: last, width: 80).count == view.lines.count - 1)
  }

  @Test func linesFitEveryTerminal() throws {
    let (before, after) = try (
      Self.snapshot(1, uptime: 1, corpora: 30), Self.snapshot(2, uptime: 2, corpora: 30)
    )
    for width in [1, 2, 10, 20, 39, 40, 79, 80, 200] {
      for height in [1, 2, 5, 17, 18, 24, 100] {
        let lines = Self.lines(before: before, after: after, width: width, height: height)
        #expect(lines.count <= height && lines.allSatisfy { $0.count <= width })
        // Corpora that do not fit are counted, as soon as there is room for that.
        if height == 24 && width >= 20 {
          #expect(lines.last?.hasSuffix("… and 23 more") == true, "\(lines)")
          #expect(lines.count == 24)
        }
      }
    }
    let all = Self.lines(before: before, after: after, height: 100)
    #expect(all.count { $0.hasPrefix("corpus-") } == 30)
    // Columns are dropped from the right, and the name stays.
    let narrow = Self.lines(before: before, after: after, width: 40)
    #expect(narrow.contains("corpus            steps/s  tokens/step"))
  }

  @Test func namesAreNoCommandsToTheTerminal() throws {
    let text = "reprise_corpus_tokens{corpus=\"a\u{1B}[2Jb\\nc\"} 1\n"
    let snapshot = TopSnapshot(
      version: "\u{1B}]0;x\u{7}", uptimeSeconds: 1, reading: try MetricsReading(text))
    let lines = Self.lines(before: nil, after: snapshot)
    #expect(lines.contains { $0.hasPrefix("a·[2Jb·c") })
    #expect(!lines.joined().unicodeScalars.contains { $0.properties.generalCategory == .control })
  }

  @Test func aServiceWithNothingIsShownToo() throws {
    let empty = TopSnapshot(version: "1", uptimeSeconds: 0, reading: try MetricsReading(""))
    let lines = Self.lines(before: nil, after: empty)
    #expect(lines.last == "no corpus yet")
    #expect(lines.contains { $0.hasPrefix("speculation             0         0            -") })
  }

  @Test func numbersAreShort() {
    for (value, text) in [
      (0, "0"), (3.14159, "3.14"), (56.04, "56.0"), (123.4, "123"), (9999, "9999"),
      (45_600, "45.6 k"), (1_230_000, "1.2 M"), (7e9, "7.0 G"),
    ] { #expect(TopView.short(value) == text) }
    for (seconds, text) in [
      (0.000_012, "12 µs"), (0.0123, "12.3 ms"), (2.5, "2.5 s"),
    ] { #expect(TopView.time(seconds) == text) }
    for (seconds, text) in [
      (5.0, "5 s"), (65, "1 min 5 s"), (3700, "1 h 1 min"), (200_000, "2 d 7 h"),
    ] { #expect(TopView.length(seconds) == text) }
  }
}
