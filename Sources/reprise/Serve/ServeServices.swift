import CorpusStore
import Glibc
import Logging
import ServiceLifecycle
import TreeService
import UnixSignals

/// The sockets. They close first, and what was received is answered.
struct SocketService: Service {
  let service: TreeService
  let supervisor: Supervisor
  let store: Store
  let drain: Duration
  let logger: Logger

  func run() async throws {
    supervisor.ready()
    try? await gracefulShutdown()
    supervisor.stopping()
    let deadline = Task {
      try await Task.sleep(for: drain)
      // What was answered is on disk before anything else is given up. What is under way is done or
      // not done at the next start, never half.
      logger.error("not done in time: giving up", metadata: ["drain": "\(drain)"])
      for loss in store.commitAll() { logger.error("\(loss)") }
      Glibc.exit(1)
    }
    try await service.stop()
    deadline.cancel()
  }
}

/// Reads files again on SIGHUP.
struct ReloadService: Service {
  let service: TreeService
  let supervisor: Supervisor
  let signals: UnixSignalsSequence

  func run() async throws {
    for await _ in signals.cancelOnGracefulShutdown() {
      supervisor.reloading()
      service.reload()
      supervisor.ready()
    }
  }
}

/// Gives signs of life, as long as every event loop does.
struct WatchdogService: Service {
  let service: TreeService
  let supervisor: Supervisor

  func run() async throws {
    guard let watchdog = supervisor.watchdog else {
      try? await gracefulShutdown()
      return
    }
    try? await cancelWhenGracefulShutdown {
      while true {
        await service.answers()
        supervisor.alive()
        try await Task.sleep(for: watchdog / 3)
      }
    }
  }
}
