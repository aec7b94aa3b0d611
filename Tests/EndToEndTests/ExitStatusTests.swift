import Foundation
import Testing

/// The exit status shows whether starting again helps, and `--check-config` finds permanent errors.
///
/// What went wrong: a group that does not exist, or TCP without an access file, ended with 1, so
/// systemd restarted the service every second; and a misspelt variable was ignored.
@Suite struct ExitStatusTests {
  private func makeDirectory() throws -> String {
    let path = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }

  private func write(_ text: String, to path: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  @Test func permanentErrorsCountAsConfiguration() throws {
    let directory = try makeDirectory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    for name in ["other", "v1"] {
      try FileManager.default.createDirectory(
        atPath: "\(directory)/\(name)", withIntermediateDirectories: true)
    }
    try write("x", to: "\(directory)/other/file")
    try write("reprise store, format 1\n", to: "\(directory)/v1/format")
    try write("x", to: "\(directory)/file")
    #expect(
      try run(["token", "create", "--access", "\(directory)/access", "--name", "a"]).status == 0)
    let access = ["--access", "\(directory)/access"]
    let store = ["--store", "\(directory)/store"]
    let socket = ["--socket", "\(directory)/s"]
    let tls = ["--tls-certificate", "\(directory)/file", "--tls-key", "\(directory)/file"]
    let long = "\(directory)/" + String(repeating: "x", count: 108)
    let causes: [(says: String, arguments: [String], environment: [String: String])] = [
      ("no group nope-nope", store + socket + ["--socket-group", "nope-nope"], [:]),
      ("--access FILE", store + ["--listen", "127.0.0.1:0"], [:]),
      ("--tls-certificate", store + access + ["--listen", "0.0.0.0:0"], [:]),
      ("TLS", store + access + tls + ["--listen", "127.0.0.1:0"], [:]),
      ("not a socket", store + ["--socket", "\(directory)/file"], [:]),
      ("107 bytes", store + ["--socket", long], [:]),
      ("access", store + socket + ["--access", "\(directory)/file"], [:]),
      ("not a Reprise store", ["--store", "\(directory)/other"] + socket, [:]),
      ("not a Reprise store", ["--store", "\(directory)/file"] + socket, [:]),
      ("format version 1", ["--store", "\(directory)/v1"] + socket, [:]),
      ("no snapshot", ["--snapshot", "\(directory)/missing"] + socket, [:]),
      ("damaged", ["--snapshot", "\(directory)/file"] + socket, [:]),
      ("regular file", ["--snapshot", directory] + socket, [:]),
      ("REPRISE_LIMITS_SESSIONS", store + socket, ["REPRISE_LIMIT_SESSIONS": "5"]),
      ("REPRISE_LIMITS_SESSIONS", store + socket, ["REPRISE_LIMITS_SESIONS": "5"]),
      ("REPRISE_THREADS", store + socket, ["REPRISE_TREADS": "5"]),
    ]
    for (says, arguments, environment) in causes {
      for check in [[], ["--check-config"]] {
        let result = try run(["serve"] + arguments + check, environment: environment)
        #expect(result.status == 78, "\(arguments) \(check): \(result.status) \(result.errors)")
        #expect(result.errors.contains(says), "\(arguments) \(check): \(result.errors)")
      }
    }
  }

  @Test func passingErrorsDoNotCountAsConfiguration() throws {
    let service = try RepriseProcess()
    let access = "\(service.directory)/access"
    #expect(try run(["token", "create", "--access", access, "--name", "a"]).status == 0)
    try service.start(["--http", "127.0.0.1:0"])
    let port = try #require(service.httpPort)
    let other = "\(service.directory)/other"
    let causes: [(says: String, arguments: [String])] = [
      ("served by another process", ["--store", service.store, "--socket", "\(other)-s"]),
      ("answers on", ["--store", other, "--socket", service.socket]),
      (
        "another process listens",
        ["--store", other, "--access", access, "--listen", "127.0.0.1:\(port)"]
      ),
      (
        "another process listens",
        ["--store", other, "--socket", "\(other)-s", "--http", "127.0.0.1:\(port)"]
      ),
    ]
    for (says, arguments) in causes {
      let start = try run(["serve"] + arguments)
      #expect(start.status == 1 && start.errors.contains(says), "\(arguments): \(start.errors)")
      #expect(try run(["serve"] + arguments + ["--check-config"]).status == 0, "\(arguments)")
    }
    #expect(service.end(SIGTERM) == 0)
  }

  /// Variables that clients and engines read, and that they may share with a service.
  @Test func variablesOfOthersAreNotRefused() throws {
    let directory = try makeDirectory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var package = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { package.deleteLastPathComponent() }
    package.append(path: "tools/python/src")
    var names: Set<String> = [
      "REPRISE_SERVICE_HOST", "REPRISE_PORT", "REPRISE_PORT_7411_TCP_ADDR", "REPRISE_TEST_EFFORT",
    ]
    let files = FileManager.default.enumerator(at: package, includingPropertiesForKeys: nil)
    while let file = files?.nextObject() as? URL {
      guard file.pathExtension == "py" else { continue }
      let text = try String(contentsOf: file, encoding: .utf8)
      names.formUnion(text.matches(of: /"(REPRISE_[A-Z_]*[A-Z])"/).map { String($0.1) })
    }
    #expect(names.count > 10, "\(names)")
    let result = try run(
      ["serve", "--store", "\(directory)/x", "--socket", "\(directory)/y", "--check-config"],
      environment: Dictionary(uniqueKeysWithValues: names.map { ($0, "1") }))
    #expect(result.status == 0, "\(result.errors)")
  }
}
