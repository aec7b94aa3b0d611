import Foundation
import RepriseClient
import RepriseModel
import Testing
import WireProtocol

/// A service that could not keep all acknowledged data says so at its end, also by its exit status.
@Suite struct LossTests {
  @Test func aDirectoryThatIsGoneIsNoGoodEnd() async throws {
    let service = try RepriseProcess()
    try service.start()
    let client = service.client()
    try await client.createCorpus("c")
    try await client.insert([NewSequence(tokens: [1, 2, 3])], into: "c")
    try FileManager.default.removeItem(atPath: service.store)
    await #expect(throws: ClientError.self) {
      try await client.insert([NewSequence(tokens: [4, 5, 6])], into: "c")
    }
    await client.close()
    #expect(service.end(SIGTERM) == 1)
    #expect(service.logged.contains("was removed, renamed or replaced while it was in use"))
    #expect(!service.logged.contains("all is on disk"))
  }

  @Test func lostSequencesAreReported() async throws {
    let service = try RepriseProcess()
    try service.start(["--map-bytes", "1048576", "--seal-tokens", "10000000"])
    let client = service.client()
    try await client.createCorpus("c", CorpusSettings(durability: .interval(millis: 60_000)))
    // More than the map has room for; answered before it is written. One call, because the next one
    // would be refused after a first attempt to write.
    let id = String(repeating: "x", count: 250)
    let sequences = (0..<2400).map { NewSequence(id: "\(id)-\($0)", tokens: [1, 2, 3]) }
    try await client.insert(sequences, into: "c")
    await client.close()
    #expect(service.end(SIGTERM) == 1)
    // The reason is not that it gave up waiting.
    #expect(!service.logged.contains("not done in time"))
    #expect(service.logged.contains("2400 acknowledged sequences of corpus c are not on disk"))
    #expect(!service.logged.contains("all is on disk"))
  }
}
