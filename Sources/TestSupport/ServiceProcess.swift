import CLinux
import Foundation

/// A `reprise serve`, or another program, that a test or tool may kill, starve of resources, or observe.
package final class ServiceProcess {
  package let identifier: pid_t
  private let program: String
  /// The wait status, once the process has ended.
  private var status: Int32?

  /// Starts a program. It inherits no files of this process but standard input and, without a log,
  /// standard error.
  ///
  /// - Parameters:
  ///   - log: Its standard error is appended to this file; nil for this process's own standard error.
  ///   - descriptorsMax: The most descriptors that it may have open.
  ///   - cores: The cores that it is bound to, as an argument of taskset.
  package init(
    _ program: String, _ arguments: [String], environment: [String: String] = [:],
    log: String? = nil, descriptorsMax: Int? = nil, cores: String? = nil
  ) throws {
    self.program = program
    var words = [program] + arguments
    if let cores { words = ["/usr/bin/taskset", "-c", cores] + words }
    if let descriptorsMax {
      words = ["/bin/sh", "-c", "ulimit -n \(descriptorsMax); exec \"$0\" \"$@\""] + words
    }
    var variables = ProcessInfo.processInfo.environment
    variables.merge(environment) { $1 }
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    if let log {
      unsafe posix_spawn_file_actions_addopen(
        &actions, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    }
    unsafe close_descriptors_at_spawn(&actions, 3)
    // SAFETY: the C strings are freed after the call, which copies them.
    let argv = unsafe words.map { unsafe strdup($0) } + [nil]
    let envp = unsafe variables.map { unsafe strdup("\($0)=\($1)") } + [nil]
    defer {
      for index in unsafe argv.indices { unsafe free(argv[index]) }
      for index in unsafe envp.indices { unsafe free(envp[index]) }
    }
    var started = pid_t()
    let code = unsafe posix_spawn(&started, words[0], &actions, nil, argv, envp)
    if code != 0 { throw ToolError("\(program) cannot be started: error \(code)") }
    identifier = started
  }

  deinit {
    if !hasEnded {
      signal(SIGKILL)
      wait()
    }
  }

  package func signal(_ number: Int32) { kill(identifier, number) }

  /// Waits until the service takes connections. Returns false if it has ended instead.
  package func isServing(_ socket: String, secondsMax: Double = 60) throws -> Bool {
    let start = ContinuousClock.now
    while (try? LineConnection(socket)) == nil {
      if hasEnded { return false }
      if ContinuousClock.now - start > .seconds(secondsMax) {
        throw ToolError("\(program) neither takes connections nor ends")
      }
      usleep(500)
    }
    return true
  }

  // MARK: The end

  package var hasEnded: Bool {
    if status != nil { return true }
    var found: Int32 = 0
    if unsafe waitpid(identifier, &found, WNOHANG) != identifier { return false }
    status = found
    return true
  }

  /// Waits for the end. Returns the exit status, or the negative number of a signal.
  @discardableResult
  package func wait() -> Int32 {
    var found = status ?? 0
    if status == nil {
      while unsafe waitpid(identifier, &found, 0) != identifier && errno == EINTR {}
      status = found
    }
    let signal = found & 0x7F
    return signal == 0 ? (found >> 8) & 0xFF : -signal
  }

  /// Waits for the end, at most `secondsMax` seconds; returns nil if it is still running.
  package func wait(secondsMax: Double) -> Int32? {
    let start = ContinuousClock.now
    while !hasEnded {
      if ContinuousClock.now - start > .seconds(secondsMax) { return nil }
      usleep(1000)
    }
    return wait()
  }

  /// Asks the program to end, and waits for it. Returns what `wait` does.
  @discardableResult
  package func stop() -> Int32 {
    signal(SIGTERM)
    return wait()
  }
}
