import CorpusStore
import Foundation
import RepriseClient
import RepriseModel
import TestSupport
import Testing
import WireProtocol

@testable import RepriseServer

/// The metrics count exactly the work that was done.
@Suite struct MetricsTests {
  /// The samples of a text, by name and labels.
  static func samples(_ text: String) -> [String: Double] {
    var samples: [String: Double] = [:]
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      guard let space = line.lastIndex(of: " ") else { continue }
      samples[String(line[..<space])] = Double(line[line.index(after: space)...])
    }
    return samples
  }

  private func samples(_ client: RepriseClient) async throws -> [String: Double] {
    Self.samples(try await client.metrics())
  }

  @Test func draftsAreCountedByWhatBecameOfThem() async throws {
    try await withService { fixture in
      let client = fixture.client
      try await client.insert([sequence([1, 2, 3, 4, 5]), sequence([1, 2, 3, 4, 5])], into: "c")
      let session = try await client.openSession(corpus: "c", prompt: [], name: "s")
      // No draft at first; then 2, 3, 4, 5 in four steps, of which two tokens are accepted.
      #expect(try await session.step().isEmpty)
      let draft = try await session.step(
        accepting: [1, 2], DraftOptions(maxFactor: 4, minProbability: 0))
      #expect(draft.tokens == [3, 4, 5])
      _ = try await session.step(accepting: [3, 4, 9], DraftOptions(maxTokens: 0))
      _ = try await client.speculate([1, 2, 3], corpus: "c")
      let counted = try await samples(client)
      let expected: [String: Double] = [
        "reprise_session_steps_total": 2, "reprise_session_output_tokens_total": 5,
        "reprise_spec_decode_num_drafts_total": 1,
        "reprise_spec_decode_num_draft_tokens_total": 3,
        "reprise_spec_decode_num_accepted_tokens_total": 2,
        "reprise_spec_decode_num_accepted_tokens_per_pos_total{position=\"0\"}": 1,
        "reprise_spec_decode_num_accepted_tokens_per_pos_total{position=\"1\"}": 1,
        "reprise_spec_decode_num_accepted_tokens_per_pos_total{position=\"2\"}": 0,
        "reprise_draft_accepted_tokens_count": 1, "reprise_draft_accepted_tokens_sum": 2,
        "reprise_draft_tokens_by_probability_total{probability=\"0.7\"}": 3,
        "reprise_accepted_tokens_by_probability_total{probability=\"0.7\"}": 2,
        "reprise_accepted_tokens_by_probability_total{probability=\"0.05\"}": 0,
        "reprise_drafts_total{source=\"local\"}": 0,
        "reprise_drafts_total{source=\"shared\"}": 2,
        "reprise_drafts_total{source=\"none\"}": 2,
        "reprise_drafted_tokens_total{source=\"shared\"}": 5,
        "reprise_draft_match_tokens_sum{source=\"shared\"}": 5,
        "reprise_corpus_steps_total{corpus=\"c\"}": 2,
        "reprise_corpus_output_tokens_total{corpus=\"c\"}": 5,
        "reprise_corpus_draft_tokens_total{corpus=\"c\"}": 3,
        "reprise_corpus_accepted_tokens_total{corpus=\"c\"}": 2,
        "reprise_corpus_sequences{corpus=\"c\"}": 2, "reprise_corpus_tokens{corpus=\"c\"}": 10,
        "reprise_corpus_open_tokens{corpus=\"c\"}": 5,
        "reprise_corpus_sessions{corpus=\"c\"}": 1,
        "reprise_sessions": 1, "reprise_session_tokens": 5,
        "reprise_request_duration_seconds_count{method=\"session.step\"}": 3,
        "reprise_request_duration_seconds_count{method=\"speculate\"}": 1,
        "reprise_connections": 1, "reprise_connections_opened_total": 1,
      ]
      for (name, value) in expected { #expect(counted[name] == value, "\(name)") }
      #expect(counted["reprise_corpus_commit_duration_seconds_count{corpus=\"c\"}"] ?? 0 > 0)
      // Read on request: the corpus is younger than the second between two readings.
      #expect(counted["reprise_store_bytes"] ?? 0 > 0)
    }
  }

  @Test func errorsAreCountedByTheirKind() async throws {
    try await withService { fixture in
      let connection = try LineConnection(fixture.socket)
      for line in ["{", "{}", "{}", requestLine("x", [:]), requestLine("corpus.stats", [:])] {
        _ = try connection.exchange(line)
      }
      connection.close()
      let counted = try await samples(fixture.client)
      for (kind, count) in [
        ("parse_error", 1.0), ("invalid_request", 2), ("method_not_found", 1),
        ("invalid_params", 1),
        ("conflict", 0),
      ] { #expect(counted["reprise_errors_total{kind=\"\(kind)\"}"] == count, "\(kind)") }
    }
  }

  /// Of the names that a client chooses freely, only those of corpora and of clients are in labels,
  /// and these have a bound.
  @Test func labelsHaveABound() async throws {
    try await withService { fixture in
      let client = fixture.client
      let connection = try LineConnection(fixture.socket)
      for number in 0..<50 {
        _ = try connection.exchange(requestLine("method-\(number)", [:]))
        _ = try connection.exchange(
          requestLine("corpus.stats", ["corpus": .string("nowhere-\(number)")]))
        _ = try await client.openSession(corpus: "c", prompt: [], name: "session-\(number)")
        try await client.insert([sequence([1], id: "id-\(number)")], into: "c")
        for engine in [number, number + 50] {
          try await client.report(ClientReport(engine: "engine-\(engine)", steps: 1))
        }
      }
      connection.close()
      let text = try await client.metrics()
      for name in ["method-", "nowhere-", "session-", "id-"] {
        #expect(!text.contains("\"\(name)"), "\(name)")
      }
      var values: [String: Set<Substring>] = [:]
      for match in text.matches(of: /[{,]([a-z_]+)="([^"]*)"/) {
        values[String(match.1), default: []].insert(match.2)
      }
      let bounds = [
        "version": 1, "corpus": 1, "client": ClientReports.namesMax + 1,
        "position": Tally.positions, "source": 4, "probability": Calibration.upperBounds.count,
        "method": Method.allCases.count, "kind": ErrorKind.allCases.count,
        "reason": Metrics.Cut.allCases.count + ClientReport.Reason.allCases.count,
        "name": Limit.all.count, "condition": StandingCondition.Kind.allCases.count,
        "purpose": MemoryBudget.Purpose.allCases.count,
        "le": Histogram.seconds.bounds.count + Histogram.tokens.bounds.count + 1,
      ]
      for (label, values) in values {
        #expect(values.count <= bounds[label] ?? 0, "\(label): \(values)")
      }
    }
  }

  /// Each family has one HELP and one TYPE, before its samples, and all of its samples together;
  /// counters end in _total, and no series appears twice.
  @Test func theTextIsWellFormed() async throws {
    try await withService { fixture in
      let text = try await fixture.client.metrics()
      #expect(text.hasSuffix("\n"))
      var families: Set<Substring> = []
      var series: Set<Substring> = []
      var (family, type): (Substring, Substring) = ("", "")
      for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
        let words = line.split(separator: " ", maxSplits: 3)
        if line.hasPrefix("# HELP ") {
          family = words[2]
          #expect(words.count == 4 && families.insert(family).inserted, "\(line)")
        } else if line.hasPrefix("# TYPE ") {
          type = words[3]
          #expect(
            words[2] == family && ["counter", "gauge", "histogram"].contains(type), "\(line)")
          #expect((type == "counter") == family.hasSuffix("_total"), "\(line)")
        } else {
          let name = line.prefix { $0 != "{" && $0 != " " }
          let endings = type == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
          #expect(endings.contains { name == family + $0 }, "\(line)")
          #expect(series.insert(line.prefix(upTo: line.lastIndex(of: " ")!)).inserted, "\(line)")
          #expect(Double(line.split(separator: " ").last ?? "") != nil, "\(line)")
        }
      }
    }
  }

  /// tools/prometheus-check evaluates every expression in it with a real Prometheus.
  @Test func theDashboardNamesOnlyWhatIsTold() async throws {
    let path = OpenRPCDocument.directory.appendingPathComponent(
      "../../tools/deploy/grafana/dashboard.json")
    let dashboard = try JSON(parsing: String(contentsOf: path, encoding: .utf8))
    let panels = try #require(dashboard["panels"]?.array).filter { $0["type"] != "row" }
    let expressions = panels.flatMap {
      ($0["targets"]?.array ?? []).compactMap { $0["expr"]?.string }
    }
    #expect(panels.count > 30 && expressions.count >= panels.count)
    #expect(Set(panels.compactMap { $0["id"]?.integer }).count == panels.count)
    let variables = (dashboard["templating"]?["list"]?.array ?? []).compactMap {
      $0["name"]?.string
    }
    #expect(variables == ["datasource", "job", "instance"])
    for panel in panels {
      #expect(panel["datasource"]?["uid"] == "${datasource}", "\(panel["title"]?.text ?? "")")
    }
    try await withService { fixture in
      // Durations are shown for methods that were called.
      _ = try await fixture.client.speculate([1], corpus: "c")
      // Clients are shown once they have reported.
      try await fixture.client.report(ClientReport(steps: 1))
      var told: Set<String> = []
      for name in Self.samples(try await fixture.client.metrics()).keys {
        told.insert(String(name.prefix { $0 != "{" }))
      }
      for expression in expressions {
        let names = expression.matches(of: /\b(reprise|process)_[a-z_]+/).map { String($0.0) }
        #expect(!names.isEmpty, "\(expression)")
        for name in names { #expect(told.contains(name), "\(name)") }
      }
    }
  }
}
