import Foundation
import TestSupport

extension ServiceProcess {
  /// Starts `reprise serve` or an echo, and waits until it accepts connections.
  static func serving(
    _ program: String, _ arguments: [String], socket: String, cores: String? = nil
  ) throws -> ServiceProcess {
    unsafe unlink(socket)
    let service = try ServiceProcess(program, arguments, cores: cores)
    guard try service.isServing(socket) else { throw ToolError("\(program) did not start") }
    return service
  }

  /// Waits for the end of the program.
  ///
  /// - Throws: `ToolError` if its exit status is not 0.
  func waitForSuccess() throws {
    let status = wait()
    if status != 0 { throw ToolError("a program ended with \(status)") }
  }

  /// Seconds of CPU so far, of all threads.
  ///
  /// - Parameter prefixes: Counts only threads that still run and whose names begin with one of them.
  func cpuSeconds(threads prefixes: [String]? = nil) -> Double {
    guard let prefixes else { return ProcessSample(identifier)?.cpuSeconds ?? 0 }
    return ThreadSample.all(of: identifier).reduce(0) { sum, thread in
      prefixes.contains { thread.name.hasPrefix($0) } ? sum + thread.cpuSeconds : sum
    }
  }

  /// Bytes of anonymous memory (not backed by a file).
  var anonymousBytes: Int { ProcessSample(identifier)?.anonymousBytes ?? 0 }
}
