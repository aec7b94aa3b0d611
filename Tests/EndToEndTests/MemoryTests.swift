import Foundation
import RepriseClient
import RepriseModel
import Testing
import WireProtocol

@Suite struct MemoryTests {
  /// What went wrong: each corpus took 2 MB of memory, however little it held: malloc took LMDB's
  /// tables from used memory and filled them with zeros. Large blocks are mapped separately now.
  @Test func anEmptyCorpusTakesHardlyAnyMemory() async throws {
    let service = try RepriseProcess()
    try service.start()
    let client = service.client()
    // The first corpus also takes memory that is needed only once.
    let retention = Retention(tokens: 10_000)
    try await client.createCorpus("first", CorpusSettings(retention: retention))
    let before = try service.anonymousBytes()
    let corpora = 40
    for number in 0..<corpora {
      try await client.createCorpus("c\(number)", CorpusSettings(retention: retention))
    }
    let perCorpus = (try service.anonymousBytes() - before) / corpora
    #expect(perCorpus < 400_000, "bytes of memory for an empty corpus")
    await client.close()
    #expect(service.end(SIGTERM) == 0)
  }
}
