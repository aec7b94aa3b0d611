import Foundation
import RepriseClient
import TestSupport
import Testing
import WireProtocol

/// A lack of files causes an error with a reason, and nothing worse.
///
/// What went wrong: corpora and connections took files from each other until none was left. Then no
/// client could connect any more, or drop a corpus, and the service was busy with failing to
/// accept.
@Suite struct FileLimitTests {
  private static func limit(_ error: any Error) -> String? {
    if case .service(let error)? = error as? ClientError,
      error.kind == .limitExceeded, case .text(let name)? = error.details["limit"]
    {
      return name
    }
    return nil
  }

  @Test(arguments: [64, 256]) func eachIsAnsweredOrRefusedWithAReason(files: Int) async throws {
    let service = try RepriseProcess()
    try service.start(filesMax: files)
    let first = service.client()
    let limits = try await first.serverInfo().limits
    let (corporaMax, connectionsMax) = try (
      #require(limits[.corpora]), #require(limits[.connections])
    )
    #expect(connectionsMax + 3 * corporaMax < files)
    for number in 0..<corporaMax { try await first.createCorpus("c\(number)") }
    let refused = await #expect(throws: (any Error).self) {
      try await first.createCorpus("one-more")
    }
    #expect(refused.flatMap(Self.limit) == "corpora", "\(String(describing: refused))")

    // The first client has one already. Clients beyond the limit are refused with the reason.
    var clients: [RepriseClient] = []
    for number in 1..<(connectionsMax + 12) {
      let client = service.client()
      clients.append(client)
      do {
        _ = try await client.speculate([1], corpus: "c0")
        #expect(number < connectionsMax, "\(number)")
      } catch {
        #expect(number >= connectionsMax, "\(number): \(error)")
        // It would reconnect repeatedly.
        await client.close()
      }
    }
    // An operator makes room, and a dropped corpus can be created again.
    let dropped = try run(["corpus", "drop", "c1", "--confirm", "c1", "--socket", service.socket])
    #expect(dropped.status == 0, "\(dropped.errors)")
    try await first.createCorpus("again")
    #expect(try await first.createSnapshot(ofCorpus: "c0").corpus == "c0")
    for client in clients { await client.close() }
    // The service sees the end of connections a moment later.
    var status: Int32 = 1
    while status != 0 {
      status = try run([
        "speculate", "1", "--corpus", "again", "--socket", service.socket,
      ]).status
    }
    await first.close()
    #expect(service.end(SIGTERM) == 0)
  }

  /// With more corpora than there are files for, it does not start, and names what it needs.
  @Test func aStoreThatNeedsMoreFilesIsRefused() async throws {
    let service = try RepriseProcess()
    try service.start()
    let client = service.client()
    for number in 0..<12 { try await client.createCorpus("c\(number)") }
    await client.close()
    #expect(service.end(SIGTERM) == 0)
    for check in [[], ["--check-config"]] {
      let result = try runLimited(
        64, ["serve", "--store", service.store, "--socket", service.socket] + check)
      #expect(result.status == 78 && result.errors.contains("12 corpora"), "\(result.errors)")
    }
  }

  private func runLimited(
    _ files: Int, _ arguments: [String]
  ) throws -> (status: Int32, errors: String) {
    let process = Process()
    let errors = Pipe()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments =
      ["-c", "ulimit -n \(files) && exec \"$0\" \"$@\"", repriseBinary.path] + arguments
    process.standardError = errors
    try process.run()
    let text = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: text, as: UTF8.self))
  }

  /// The limit is lowered below the number of open files, as if the whole machine had no file left.
  @Test func acceptingPausesAndTellsWhileThereIsNoFile() throws {
    let service = try RepriseProcess()
    try service.start()
    let list = ["corpus", "list", "--socket", service.socket]
    #expect(try run(list).status == 0)
    let taken = try ProcessSample.descriptors(of: service.identifier)
    let firstFree = try #require((0...).first { !taken.contains($0) })
    try setFileLimit(firstFree, of: service)
    let refused = try run(list)
    #expect(refused.status == 1, "\(refused)")
    try setFileLimit(1000, of: service)
    var status: Int32 = 1
    while status != 0 { status = try run(list).status }
    #expect(service.end(SIGTERM) == 0)
    #expect(
      service.logged.matches(of: /accepting connections to the store fails/).count == 1,
      "\(service.logged)")
    #expect(
      service.logged.contains("accepting connections to the store is in order again"),
      "\(service.logged)")
  }

  private func setFileLimit(_ files: Int, of service: RepriseProcess) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/prlimit")
    process.arguments = ["--pid", "\(service.identifier)", "--nofile=\(files):"]
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
  }
}
