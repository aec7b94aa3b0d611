import CorpusStore
import Foundation
import RepriseClient
import RepriseModel
import RepriseServer
import Testing
import WireProtocol

/// A dropped corpus is freed, whatever its sessions are doing, and their callers get errors.
@Suite struct DroppedCorpusTests {
  private struct Weak {
    weak var corpus: Corpus?
  }

  @Test func corporaThatAreDroppedUnderTheirSessionsAreFreed() async throws {
    try await withService { fixture in
      var dropped: [(corpus: Weak, what: String)] = []
      for share in SharePolicy.allCases {
        for stepped in [false, true] {
          // Before the corpus is dropped, after it, or by the end of its lease or connection alone.
          for closing in ["before", "after", "never"] {
            let what = "\(share), stepped \(stepped), closed \(closing)"
            try await fixture.client.createCorpus("d")
            try await fixture.client.insert([sequence([1, 2, 3])], into: "d")
            let session = try await fixture.client.openSession(
              corpus: "d", prompt: [1], share: share)
            if stepped { _ = try await session.step(accepting: [2, 3, 4]) }
            if closing == "before" { _ = try await session.close() }
            dropped.append((Weak(corpus: try fixture.store.corpus(named: "d")), what))
            _ = try await fixture.client.dropCorpus("d")
            if closing == "after" {
              await #expect(throws: ClientError.self) { _ = try await session.close() }
            }
            await #expect(throws: ClientError.self) { _ = try await session.step() }
          }
        }
      }
      for (corpus, what) in dropped {
        let end = ContinuousClock.now + .seconds(30)
        while corpus.corpus != nil && ContinuousClock.now < end {
          try await Task.sleep(for: .milliseconds(5))
        }
        #expect(corpus.corpus == nil, "\(what)")
      }
      // Sessions that were open over them are counted no longer.
      let metrics = try await fixture.client.metrics()
      #expect(metrics.contains("reprise_sessions 0\n"))
      #expect(metrics.contains("reprise_session_tokens 0\n"))
    }
  }
}
