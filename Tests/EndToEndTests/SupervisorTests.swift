import Foundation
import Glibc
import RepriseClient
import Testing
import UnixSocket

/// The exchange between systemd and a service: over a real socket.
@Suite struct SupervisorTests {
  /// The socket that a service notifies.
  private final class NotifySocket {
    let path: String
    private let descriptor: Int32

    init(_ path: String) throws {
      self.path = path
      descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
      try #require(UnixAddress(path: path)?.bind(descriptor) == 0)
    }

    deinit { close(descriptor) }

    /// The next message.
    func receive() -> String {
      var bytes = [UInt8](repeating: 0, count: 4096)
      let count = unsafe recv(descriptor, &bytes, bytes.count, 0)
      return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }
  }

  @Test func theSupervisorIsToldOfTheStartOfReloadingAndOfTheEnd() throws {
    let service = try RepriseProcess()
    let notified = try NotifySocket(service.directory + "/n")
    try service.start(environment: ["NOTIFY_SOCKET": notified.path])
    #expect(notified.receive() == "READY=1")
    service.send(SIGHUP)
    #expect(notified.receive().hasPrefix("RELOADING=1\nMONOTONIC_USEC="))
    #expect(notified.receive() == "READY=1")
    #expect(service.end(SIGTERM) == 0)
    #expect(notified.receive() == "STOPPING=1")
  }

  @Test func signsOfLifeComeAsOftenAsTheyAreWanted() throws {
    let service = try RepriseProcess()
    let notified = try NotifySocket(service.directory + "/n")
    try service.start(environment: ["NOTIFY_SOCKET": notified.path, "WATCHDOG_USEC": "60000"])
    var messages: [String] = []
    while messages.count < 6 { messages.append(notified.receive()) }
    #expect(messages.count { $0 == "READY=1" } == 1)
    #expect(messages.count { $0 == "WATCHDOG=1" } == 5)
    #expect(service.end(SIGTERM) == 0)
  }

  /// The socket is bound before the service starts, and a client that came early is answered.
  @Test func aSocketThatIsBoundAlreadyIsUsed() async throws {
    let directory = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let path = directory + "/s"
    let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    try #require(UnixAddress(path: path)?.bind(listener) == 0 && listen(listener, 8) == 0)
    let client = RepriseClient(.unixSocket(path: path))
    async let early = client.createCorpus("c", deadline: .seconds(30))

    // LISTEN_PID names the process that the sockets are for.
    let process = try spawn(
      "LISTEN_FDS=1 LISTEN_PID=$$ exec '\(repriseBinary.path)' serve --store '\(directory)/store' "
        + "--log-level error", descriptorThree: listener)
    #expect(try await early.corpus == "c")
    await client.close()
    kill(process, SIGTERM)
    var status: Int32 = 0
    unsafe waitpid(process, &status, 0)
    #expect(status == 0)
    close(listener)
  }

  /// Runs a shell's command with a file of this process as its descriptor 3.
  private func spawn(_ command: String, descriptorThree: Int32) throws -> pid_t {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_adddup2(&actions, descriptorThree, 3)
    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe []
    for argument in ["sh", "-c", command] { unsafe arguments.append(strdup(argument)) }
    unsafe arguments.append(nil)
    defer { for position in 0..<3 { unsafe free(arguments[position]) } }
    var process: pid_t = 0
    let status = unsafe posix_spawn(&process, "/bin/sh", &actions, nil, &arguments, environ)
    try #require(status == 0)
    return process
  }
}
