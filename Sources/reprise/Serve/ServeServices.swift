import RepriseServer
import ServiceLifecycle
import UnixSignals

/// The sockets. They close first, after received requests are answered.
struct SocketService: Service {
  let service: RepriseServer
  let supervisor: Supervisor
  let stopping: Stopping

  func run() async throws {
    supervisor.ready()
    await stopping.begun()
    supervisor.stopping()
    try await service.stop()
  }
}

/// Reads files again on SIGHUP.
struct ReloadService: Service {
  let service: RepriseServer
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

/// Sends keep-alive messages, as long as every event loop responds.
struct WatchdogService: Service {
  let service: RepriseServer
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
