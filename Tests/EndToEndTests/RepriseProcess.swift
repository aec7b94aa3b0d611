import Foundation
import RepriseClient
import Synchronization
import Testing

/// The binary that was built together with the tests.
let repriseBinary: URL = {
  var directory = URL(fileURLWithPath: CommandLine.arguments[0])
  while directory.path != "/" {
    directory.deleteLastPathComponent()
    let candidate = directory.appendingPathComponent("reprise")
    if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
  }
  fatalError("the reprise binary is not beside the tests")
}()

/// Runs a command to its end, with additional variables in its environment.
func run(
  _ arguments: [String], input: String = "", environment: [String: String] = [:]
) throws -> (status: Int32, output: String, errors: String) {
  let process = Process()
  process.executableURL = repriseBinary
  process.arguments = arguments
  process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
  let (stdin, stdout, stderr) = (Pipe(), Pipe(), Pipe())
  process.standardInput = stdin
  process.standardOutput = stdout
  process.standardError = stderr
  try process.run()
  // Small enough for the pipes: nothing here blocks.
  stdin.fileHandleForWriting.write(Data(input.utf8))
  try stdin.fileHandleForWriting.close()
  let output = stdout.fileHandleForReading.readDataToEndOfFile()
  let errors = stderr.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return (
    process.terminationStatus, String(decoding: output, as: UTF8.self),
    String(decoding: errors, as: UTF8.self)
  )
}

/// The members of an answer.
func json(_ text: String) throws -> [String: Any] {
  try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
}

/// A `reprise serve` with a store of its own, and its addresses.
final class ServiceProcess {
  let directory: String
  var store: String { directory + "/store" }
  var socket: String { directory + "/s" }
  /// The port of HTTP, if any.
  private(set) var httpPort: Int?
  private var process = Process()
  /// Read to its end: nothing may block the service when it logs.
  private var log = Pipe()
  private let said = LogText()
  /// The whole log; complete when the service has ended.
  var logged: String { said.all }

  init() throws {
    directory = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
  }

  deinit {
    if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    try? FileManager.default.removeItem(atPath: directory)
  }

  /// Starts the service and waits until it reports that it serves.
  ///
  /// - Parameter filesMax: The limit of open files; nil for that of the tests.
  func start(
    _ arguments: [String] = [], environment: [String: String] = [:], filesMax: Int? = nil
  ) throws {
    try serve(["--store", store] + arguments, environment, filesMax)
  }

  var identifier: Int32 { process.processIdentifier }

  /// Starts the service in the same way over a snapshot's file.
  func startReading(_ snapshot: String) throws { try serve(["--snapshot", snapshot]) }

  private func serve(
    _ arguments: [String], _ environment: [String: String] = [:], _ filesMax: Int? = nil
  ) throws {
    process = Process()
    log = Pipe()
    process.executableURL = repriseBinary
    process.arguments = ["serve", "--socket", socket] + arguments
    if let filesMax {
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      process.arguments =
        ["-c", "ulimit -n \(filesMax) && exec \"$0\" \"$@\"", repriseBinary.path]
        + (process.arguments ?? [])
    }
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardError = log
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    var start = ""
    while !start.contains(" serving") {
      let more = log.fileHandleForReading.availableData
      if more.isEmpty { throw Failure(description: "no start: \(start)") }
      start += String(decoding: more, as: UTF8.self)
    }
    said.append(Data(start.utf8))
    // The line may arrive in pieces; it ends with the awaited word.
    httpPort = start.firstMatch(of: /http=\S*:(\d+)/).flatMap { Int($0.1) }
    log.fileHandleForReading.readabilityHandler = { [said] handle in
      let more = handle.availableData
      if more.isEmpty { handle.readabilityHandler = nil }
      said.append(more)
    }
  }

  /// Its anonymous memory (not backed by a file), in bytes.
  func anonymousBytes() throws -> Int {
    let status = try String(
      contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("RssAnon:") })
    return try #require(Int(line.filter(\.isNumber))) * 1024
  }

  /// The cores that its threads may use, by the threads' names.
  func coresOfThreads() throws -> [String: Set<Int>] {
    let tasks = "/proc/\(process.processIdentifier)/task"
    var cores: [String: Set<Int>] = [:]
    for task in try FileManager.default.contentsOfDirectory(atPath: tasks) {
      let path = "\(tasks)/\(task)/status"
      // The thread may have ended in the meantime.
      guard let status = try? String(contentsOfFile: path, encoding: .utf8) else { continue }
      let members = status.split(separator: "\n").map { $0.split(separator: "\t") }
      let name = try #require(members.first { $0[0] == "Name:" }?.last)
      let list = try #require(members.first { $0[0] == "Cpus_allowed_list:" }?.last)
      // The format is that of 0-3,8.
      for range in list.split(separator: ",") {
        let ends = range.split(separator: "-").compactMap { Int($0) }
        cores[String(name), default: []].formUnion(ends[0]...ends[ends.count - 1])
      }
    }
    return cores
  }

  struct Failure: Error { let description: String }

  /// Sends a signal that does not end the service.
  func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

  /// Ends the service by a signal and returns its exit status, or the signal's number.
  func end(_ signal: Int32) -> Int32 {
    kill(process.processIdentifier, signal)
    process.waitUntilExit()
    log.fileHandleForReading.readabilityHandler = nil
    said.append(log.fileHandleForReading.readDataToEndOfFile())
    return process.terminationStatus
  }

  func client(token: String? = nil) -> RepriseClient {
    var configuration = RepriseClient.Configuration()
    configuration.accessToken = token
    configuration.reconnectDelay = .milliseconds(1)
    return RepriseClient(.unixSocket(path: socket), configuration: configuration)
  }
}

/// The log of a service so far: read on one thread, and examined on another.
private final class LogText: Sendable {
  private let text = Mutex("")
  var all: String { text.withLock { $0 } }
  func append(_ bytes: Data) { text.withLock { $0 += String(decoding: bytes, as: UTF8.self) } }
}
