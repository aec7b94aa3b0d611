import CorpusStore
import Foundation
import RepriseClient
import TestSupport
import Testing
import WireProtocol

@testable import RepriseServer

/// Clients' reports of their steps are counted under their names.
@Suite struct ClientReportTests {
  @Test func reportsAreCountedUnderTheClientsName() async throws {
    try await withService { fixture in
      let client = fixture.client
      var report = ClientReport(engine: "vllm", steps: 10, missed: [.late: 2, .empty: 3])
      #expect(try await client.report(report).client == "vllm")
      report.steps = 5
      #expect(try await client.report(report).client == "vllm")
      #expect(
        try await client.report(ClientReport(steps: 1, missed: [.down: 1])).client == "anonymous")
      // As a notification: it is not answered, and the next request is.
      let connection = try LineConnection(fixture.socket)
      connection.send(
        "{\"jsonrpc\":\"2.0\",\"method\":\"client.report\",\"params\":{\"engine\":\"sglang\",\"steps\":7}}\n"
      )
      #expect(try connection.exchange(requestLine("health.live", [:]))["result"] != nil)
      connection.close()
      let told = MetricsTests.samples(try await client.metrics())
      for (series, count) in [
        ("reprise_client_steps_total{client=\"vllm\"}", 15.0),
        ("reprise_client_steps_total{client=\"anonymous\"}", 1),
        ("reprise_client_steps_total{client=\"sglang\"}", 7),
        ("reprise_client_drafts_missed_total{client=\"vllm\",reason=\"late\"}", 4),
        ("reprise_client_drafts_missed_total{client=\"vllm\",reason=\"empty\"}", 6),
        ("reprise_client_drafts_missed_total{client=\"vllm\",reason=\"refused\"}", 0),
        ("reprise_client_drafts_missed_total{client=\"anonymous\",reason=\"down\"}", 1),
      ] { #expect(told[series] == count, "\(series)") }
    }
  }

  /// The holder of a token is counted by its name, whatever name it reports.
  @Test func theTokensNameComesFirst() {
    var reports = ClientReports()
    #expect(reports.take(ClientReport(engine: "vllm", steps: 1), of: "agents") == "agents")
    #expect(reports.take(ClientReport(steps: 2), of: "agents") == "agents")
    #expect(reports.counts["agents"]?.steps == 3)
  }

  @Test func namesBeyondTheBoundAreCountedTogether() {
    var reports = ClientReports()
    for number in 0..<ClientReports.namesMax + 9 {
      let name = reports.take(ClientReport(engine: "e\(number)", steps: 1), of: "")
      #expect(name == (number < ClientReports.namesMax ? "e\(number)" : "other"))
    }
    #expect(reports.take(ClientReport(engine: "e3", steps: 1), of: "") == "e3")
    #expect(reports.counts.count == ClientReports.namesMax + 1)
    #expect(reports.counts["other"]?.steps == 9 && reports.counts["e3"]?.steps == 2)
  }

  /// A name may be hostile: it is shortened, and cannot end a line of the log or of the metrics.
  @Test func aNameIsShownOnOneLine() async throws {
    try await withService { fixture in
      let told = try await fixture.client.report(ClientReport(engine: "a\nb\"c\u{1B}"))
      #expect(told.client == "a?b\"c?")
      #expect(try await fixture.client.metrics().contains("{client=\"a?b\\\"c?\"} 0\n"))
    }
  }

  /// A line that no event loop reads itself waits for another thread, and so do all later ones.
  @Test func theClientSplitsLargeSteps() async throws {
    try await withService { fixture in
      let client = fixture.client
      _ = try await client.serverInfo()
      var steps = SessionStep()
      for number in 0..<400 { steps.append(session: "nobody-\(number)", accept: [1, 2, 3]) }
      let drafts = try await client.step(steps)
      #expect(drafts.count == 400)
      for (number, draft) in drafts.enumerated() {
        #expect(throws: WireError.sessionNotFound("nobody-\(number)")) { try draft.get() }
      }
      let lines = steps.split(lineBytesMax: Service.eventLoopLineBytes).count
      let told = MetricsTests.samples(try await client.metrics())
      let name = "reprise_request_duration_seconds_count{method=\"session.step\"}"
      #expect(lines > 1 && told[name] == Double(lines))
    }
  }

  @Test func theServiceTellsTheLongestLineOfItsEventLoops() async throws {
    try await withService { fixture in
      let info = try await fixture.client.serverInfo()
      #expect(info.eventLoopLineBytes == Service.eventLoopLineBytes)
    }
  }
}
