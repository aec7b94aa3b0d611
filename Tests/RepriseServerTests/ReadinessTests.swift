import Foundation
import RepriseClient
import RepriseServer
import Testing
import WireProtocol

/// Failures that last are shown in health and metrics, without names or paths.
@Suite struct ReadinessTests {
  @Test func aStoreThatIsGoneIsNotReady() async throws {
    try await withService { fixture in
      #expect(try await fixture.client.isReady().ok)
      let before = try await fixture.client.metrics()
      #expect(before.contains("reprise_standing_conditions{condition=\"directory\"} 0\n"))
      #expect(before.contains("reprise_corpus_unsaved_seconds{corpus=\"c\"} 0\n"))
      #expect(before.contains("reprise_corpus_other_readers{corpus=\"c\"} 0\n"))
      try FileManager.default.removeItem(atPath: fixture.directory + "/store")
      await #expect(throws: ClientError.self) {
        try await fixture.client.insert([sequence([1, 2])], into: "c")
      }
      let health = try await fixture.client.isReady()
      #expect(!health.ok)
      #expect(
        health.awaited
          == ["files of the store were removed, renamed or replaced while they were in use"])
      #expect(try await fixture.client.isLive().ok)
      let metrics = try await fixture.client.metrics()
      #expect(!metrics.contains("reprise_standing_conditions{condition=\"directory\"} 0\n"))
      // Drafts continue.
      _ = try await fixture.client.speculate([1], corpus: "c")
    }
  }
}
