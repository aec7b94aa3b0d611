import Foundation
import FoundationNetworking
import Testing

/// The files in `tools/deploy` for systemd and Kubernetes match the command.
@Suite struct DeploymentTests {
  private static let tools = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../../tools/deploy").standardizedFileURL

  private static func read(_ name: String) throws -> String {
    try String(contentsOf: tools.appendingPathComponent(name), encoding: .utf8)
  }

  /// Runs another program; nil if it is not installed.
  private static func run(
    _ program: String, _ arguments: [String]
  ) throws -> (status: Int32, output: String)? {
    let path = ["/usr/bin/", "/usr/local/bin/"].map { $0 + program }
      .first(where: FileManager.default.isExecutableFile)
    guard let path else { return nil }
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let text = String(
      decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text)
  }

  private final class Directory {
    let path = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"

    init() throws {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
  }

  /// The settings of a unit, section by section.
  private static func unit(_ name: String) throws -> [String: String] {
    var settings: [String: String] = [:]
    var section = ""
    for line in try read("systemd/\(name)").split(separator: "\n") where !line.hasPrefix("#") {
      if line.hasPrefix("[") {
        section = String(line.dropFirst().dropLast())
      } else {
        let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        settings["\(section).\(parts[0])"] = String(parts[1])
      }
    }
    return settings
  }

  // MARK: systemd

  @Test func theUnitStartsWhatThereIs() throws {
    let unit = try Self.unit("reprise.service")
    let words = try #require(unit["Service.ExecStart"]).split(separator: " ").map(String.init)
    #expect(words[0] == "/usr/local/bin/reprise")
    // systemd passes it the socket, and creates the directory.
    #expect(words.contains("/var/lib/" + (unit["Service.StateDirectory"] ?? "")))
    let checked = try reprise(words.dropFirst() + ["--socket", "s", "--check-config"])
    #expect(checked.status == 0, "\(checked.errors)")
    // Only the exit status for wrong settings prevents a restart.
    let prevented = try #require(unit["Service.RestartPreventExitStatus"])
    for (arguments, status) in [(["serve", "--no-such-flag"], "64"), (["serve"], "78")] {
      #expect("\(try reprise(arguments).status)" == status)
      #expect(prevented.split(separator: " ").contains { $0 == status })
    }
    #expect(unit["Service.Type"] == "notify")
    // It must be able to stop by itself before it is killed.
    let settings = try json(
      try reprise(words.dropFirst() + ["--socket", "s", "--print-config"]).output)
    let drain = try #require(settings["drain_seconds"] as? Int)
    #expect((Int(unit["Service.TimeoutStopSec"] ?? "") ?? 0) > drain)
  }

  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/systemd-analyze")))
  func systemdUnderstandsTheUnits() throws {
    let directory = try Directory()
    for name in ["reprise.service", "reprise.socket"] {
      // The unit must name the installed program's path.
      let unit = try Self.read("systemd/\(name)")
        .replacing("/usr/local/bin/reprise", with: repriseBinary.path)
      try Data(unit.utf8).write(to: URL(fileURLWithPath: "\(directory.path)/\(name)"))
    }
    let units = ["reprise.service", "reprise.socket"].map { "\(directory.path)/\($0)" }
    let verified = try #require(
      try Self.run("systemd-analyze", ["verify", "--man=no"] + units))
    // Complaints about other installed units do not matter.
    let complaints = verified.output.split(separator: "\n").filter { $0.contains("reprise") }
    #expect(complaints == [])
    let security = try #require(
      try Self.run(
        "systemd-analyze", ["security", "--offline=yes", "--threshold=25", units[0]]))
    #expect(security.status == 0, "\(security.output.suffix(300))")
  }

  // MARK: Kubernetes

  /// The arguments in a YAML list, one a line.
  private static func arguments(in yaml: String) -> [String] {
    yaml.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
      .drop { $0 != "args:" }.dropFirst().prefix { $0.hasPrefix("- ") }.map {
        String($0.dropFirst(2))
      }
  }

  @Test func thePodStartsWhatThereIs() throws {
    let yaml = try Self.read("kubernetes/sidecar.yaml")
    let arguments = Self.arguments(in: yaml)
    #expect(arguments.first == "serve" && arguments.count > 4)
    let checked = try reprise(arguments + ["--check-config"])
    #expect(checked.status == 0, "\(checked.errors)")
    let settings = try json(try reprise(arguments + ["--print-config"]).output)
    let listen = try #require(settings["listen"] as? [String: Any])
    let socket = try #require(listen["socket"] as? String)
    // Both containers have the socket's directory, and the engine gets its path.
    let directory = URL(fileURLWithPath: socket).deletingLastPathComponent().path
    #expect(yaml.ranges(of: "mountPath: \(directory)\n").count == 2)
    #expect(yaml.contains("value: \(socket)\n"))
    let store = try #require(settings["store"] as? String)
    #expect(
      yaml.contains("mountPath: \(URL(fileURLWithPath: store).deletingLastPathComponent().path)\n"))
    let port = try #require((settings["http"] as? String)?.split(separator: ":").last)
    #expect(yaml.contains("containerPort: \(port)\n") && yaml.contains("port: \"\(port)\"\n"))
    let drain = try #require(settings["drain_seconds"] as? Int)
    let grace = yaml.firstMatch(of: /terminationGracePeriodSeconds: (\d+)/).flatMap { Int($0.1) }
    #expect((grace ?? 0) > drain)
  }

  @Test func probesAreAnswered() throws {
    let service = try RepriseProcess()
    try service.start(["--http", "127.0.0.1:0"])
    let port = try #require(service.httpPort)
    let yaml = try Self.read("kubernetes/sidecar.yaml")
    let paths = Set(yaml.matches(of: /path: (\/\S+)/).map { String($0.1) })
    #expect(paths == ["/metrics", "/health/live", "/health/ready"])
    for path in paths {
      let answer = try Data(
        contentsOf: try #require(URL(string: "http://127.0.0.1:\(port)\(path)")))
      #expect(!answer.isEmpty, "\(path)")
    }
    #expect(service.end(SIGTERM) == 0)
  }

  @Test func thePodIsYAML() throws {
    let script = """
      import sys
      import yaml
      claim, pod = yaml.safe_load_all(open(sys.argv[1]))
      sidecar, engine = pod["spec"]["initContainers"][0], pod["spec"]["containers"][0]
      volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
      for container in (sidecar, engine):
        for mount in container["volumeMounts"]:
          assert mount["name"] in volumes, mount
        assert container["securityContext"]["runAsUser"] > 0
      assert claim["kind"] == "PersistentVolumeClaim" and pod["kind"] == "Pod"
      assert volumes["history"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
      assert sidecar["restartPolicy"] == "Always"
      names = [port["name"] for port in sidecar["ports"]]
      for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert sidecar[probe]["httpGet"]["port"] in names
      """
    let path = Self.tools.appendingPathComponent("kubernetes/sidecar.yaml").path
    guard let read = try Self.run("python3", ["-c", script, path]) else { return }
    #expect(read.status == 0, "\(read.output)")
  }

  @Test func theImageHasWhatTheProgramNeeds() throws {
    let lines = try Self.read("kubernetes/Dockerfile")
    #expect(lines.contains("RUN tools/prerequisites"))
    guard let linked = try Self.run("ldd", [repriseBinary.path]) else { return }
    let packages = [
      "liblmdb.so": "liblmdb0", "libsimdjson.so": "libsimdjson14", "libcrypto.so": "libssl3",
      "libstdc++.so": "libstdc++6", "libxxhash.so": "libxxhash0",
    ]
    // The base image contains Swift's own libraries.
    let ownDirectories = ["/lib/", "/usr/lib/"]
    for line in linked.output.split(separator: "\n") {
      let words = line.split(whereSeparator: \.isWhitespace)
      guard words.count > 2, ownDirectories.contains(where: { words[2].hasPrefix($0) }) else {
        continue
      }
      let isBasic = ["libc.", "libm.", "libgcc_s.", "libpthread.", "libdl.", "librt.", "libutil."]
        .contains { words[0].hasPrefix($0) }
      let package = packages.first { words[0].hasPrefix($0.key) }?.value
      #expect(
        isBasic || package.map { lines.contains(" \($0) ") || lines.contains("\($0) \\") } == true,
        "\(line)")
    }
    let command = try #require(lines.split(separator: "\n").last { $0.hasPrefix("CMD ") })
    let arguments = try JSONDecoder().decode([String].self, from: Data(command.dropFirst(4).utf8))
    #expect(try reprise(arguments + ["--check-config"]).status == 0)
  }
}

/// The command under test; the suite has a `run` of its own.
private func reprise(_ arguments: [String]) throws -> (
  status: Int32, output: String, errors: String
) {
  try run(arguments)
}
