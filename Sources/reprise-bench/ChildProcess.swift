import Foundation

/// A measured program, and the kernel's figures on it.
final class ChildProcess {
  private let process = Process()
  var identifier: Int32 { process.processIdentifier }
  var isRunning: Bool { process.isRunning }

  /// Starts a program. Its standard error is shown, its standard output is not.
  ///
  /// - Parameter cores: The cores that it is bound to, as an argument of taskset.
  init(_ program: String, _ arguments: [String], cores: String? = nil) throws {
    process.executableURL = URL(fileURLWithPath: cores == nil ? program : "/usr/bin/taskset")
    process.arguments = (cores.map { ["-c", $0, program] } ?? []) + arguments
    process.standardOutput = FileHandle.nullDevice
    try process.run()
  }

  /// Starts `reprise serve` or an echo, and waits until it accepts connections.
  static func serving(
    _ program: String, _ arguments: [String], socket: String, cores: String? = nil
  ) throws -> ChildProcess {
    unsafe unlink(socket)
    let child = try ChildProcess(program, arguments, cores: cores)
    while LineSocket(socket) == nil {
      guard child.isRunning else { throw BenchError("\(program) did not start") }
      usleep(1000)
    }
    return child
  }

  func stop() {
    process.terminate()
    process.waitUntilExit()
  }

  func wait() throws {
    process.waitUntilExit()
    if process.terminationStatus != 0 {
      throw BenchError("\(process.arguments ?? []) ended with \(process.terminationStatus)")
    }
  }

  /// CPU seconds so far, of all threads or of those whose names begin with a prefix.
  func cpuSeconds(threads prefixes: [String] = [""]) -> Double {
    let tasks = "/proc/\(identifier)/task"
    var ticks = 0.0
    for task in (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? [] {
      guard let stat = try? String(contentsOfFile: "\(tasks)/\(task)/stat", encoding: .utf8),
        let open = stat.firstIndex(of: "("), let close = stat.lastIndex(of: ")")
      else { continue }
      let name = stat[stat.index(after: open)..<close]
      guard prefixes.contains(where: { name.hasPrefix($0) }) else { continue }
      // The 14th and 15th fields; the name is the second.
      let fields = stat[close...].split(separator: " ")
      if fields.count > 13 { ticks += (Double(fields[12]) ?? 0) + (Double(fields[13]) ?? 0) }
    }
    return ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
  }

  /// Anonymous memory (not backed by a file), in bytes.
  var anonymousBytes: Int {
    let status = (try? String(contentsOfFile: "/proc/\(identifier)/status", encoding: .utf8)) ?? ""
    for line in status.split(separator: "\n") where line.hasPrefix("RssAnon:") {
      return (Int(line.filter(\.isNumber)) ?? 0) * 1024
    }
    return 0
  }
}
