import Foundation
import RepriseClient
import TestSupport
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
final class RepriseProcess {
  let directory: String
  var store: String { directory + "/store" }
  var socket: String { directory + "/s" }
  private var log: String { directory + "/log" }
  /// The port of HTTP, if any.
  private(set) var httpPort: Int?
  private var process: ServiceProcess?

  init() throws {
    directory = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
  }

  deinit {
    process = nil
    try? FileManager.default.removeItem(atPath: directory)
  }

  /// The whole log; complete when the service has ended.
  var logged: String {
    (try? String(decoding: Data(contentsOf: URL(fileURLWithPath: log)), as: UTF8.self)) ?? ""
  }

  /// Starts the service and waits until it reports that it serves.
  ///
  /// - Parameter filesMax: The limit of open files; nil for that of the tests.
  func start(
    _ arguments: [String] = [], environment: [String: String] = [:], filesMax: Int? = nil
  ) throws {
    try serve(["--store", store] + arguments, environment, filesMax)
  }

  /// Starts the service in the same way over a snapshot's file.
  func startReading(_ snapshot: String) throws { try serve(["--snapshot", snapshot]) }

  private func serve(
    _ arguments: [String], _ environment: [String: String] = [:], _ filesMax: Int? = nil
  ) throws {
    let before = logged.utf8.count
    let started = try ServiceProcess(
      repriseBinary.path, ["serve", "--socket", socket] + arguments, environment: environment,
      log: log, descriptorsMax: filesMax)
    process = started
    var said = ""
    while !said.contains(" serving") {
      // In this order: what it said before its end is read.
      let hasEnded = started.hasEnded
      said = String(decoding: Array(logged.utf8.dropFirst(before)), as: UTF8.self)
      if hasEnded { throw ToolError("no start: \(said)") }
      usleep(1000)
    }
    // The line may arrive in pieces; it ends with the awaited word.
    httpPort = said.firstMatch(of: /http=\S*:(\d+)/).flatMap { Int($0.1) }
  }

  var identifier: Int32 { process?.identifier ?? 0 }

  /// Its anonymous memory (not backed by a file), in bytes.
  func anonymousBytes() throws -> Int {
    try #require(ProcessSample(identifier)).anonymousBytes
  }

  /// The cores that its threads may use, by the threads' names.
  func coresOfThreads() -> [String: Set<Int>] {
    Dictionary(ThreadSample.all(of: identifier).map { ($0.name, $0.cores) }) { $0.union($1) }
  }

  /// Sends a signal that does not end the service.
  func send(_ signal: Int32) { process?.signal(signal) }

  /// Ends the service by a signal and returns its exit status, or the signal's number.
  func end(_ signal: Int32) -> Int32 {
    process?.signal(signal)
    return abs(process?.wait() ?? 0)
  }

  func client(token: String? = nil) -> RepriseClient {
    var configuration = RepriseClient.Configuration()
    configuration.accessToken = token
    configuration.reconnectDelay = .milliseconds(1)
    return RepriseClient(.unixSocket(path: socket), configuration: configuration)
  }
}
