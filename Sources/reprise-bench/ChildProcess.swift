import Foundation

/// A program under measurement, and what the kernel says of it.
final class ChildProcess {
  private let process = Process()
  var identifier: Int32 { process.processIdentifier }
  var isRunning: Bool { process.isRunning }

  /// Starts a program. What it says on standard error is shown, on standard output is not.
  ///
  /// - Parameter cores: Those that it is kept to, as taskset takes them.
  init(_ program: String, _ arguments: [String], cores: String? = nil) throws {
    process.executableURL = URL(fileURLWithPath: cores == nil ? program : "/usr/bin/taskset")
    process.arguments = (cores.map { ["-c", $0, program] } ?? []) + arguments
    process.standardOutput = FileHandle.nullDevice
    try process.run()
  }

  /// Starts `reprise serve` or an echo, and waits until it can be connected to.
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

  /// Seconds of CPU so far, of all threads or of those whose names begin like this.
  func cpuSeconds(threads prefixes: [String] = [""]) -> Double {
    let tasks = "/proc/\(identifier)/task"
    var ticks = 0.0
    for task in (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? [] {
      guard let stat = try? String(contentsOfFile: "\(tasks)/\(task)/stat", encoding: .utf8),
        let open = stat.firstIndex(of: "("), let close = stat.lastIndex(of: ")")
      else { continue }
      let name = stat[stat.index(after: open)..<close]
      guard prefixes.contains(where: { name.hasPrefix($0) }) else { continue }
      // The 14th and 15th field; the name is the second.
      let fields = stat[close...].split(separator: " ")
      if fields.count > 13 { ticks += (Double(fields[12]) ?? 0) + (Double(fields[13]) ?? 0) }
    }
    return ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
  }

  /// Bytes of memory that no file backs.
  var anonymousBytes: Int {
    let status = (try? String(contentsOfFile: "/proc/\(identifier)/status", encoding: .utf8)) ?? ""
    for line in status.split(separator: "\n") where line.hasPrefix("RssAnon:") {
      return (Int(line.filter(\.isNumber)) ?? 0) * 1024
    }
    return 0
  }
}
