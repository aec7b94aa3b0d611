import Foundation
import RepriseServer
import UnixSocket

/// The process's supervisor, if that is systemd: sockets that it has bound, and the notifications
/// that it expects (sd_listen_fds(3), sd_notify(3)).
struct Supervisor {
  /// Sockets that are bound already.
  let listeners: [Listener]
  private let notifySocket: String?
  /// The interval in which it expects a keep-alive message; nil if it expects none.
  let watchdog: Duration?

  init(environment: [String: String] = ProcessInfo.processInfo.environment) {
    let process = "\(getpid())"
    notifySocket = environment["NOTIFY_SOCKET"]
    // The sockets begin at descriptor 3, and belong only to the process that is named.
    let count = environment["LISTEN_PID"] == process ? Int32(environment["LISTEN_FDS"] ?? "") : nil
    listeners = (0..<max(0, min(count ?? 0, 64))).map { .inherited(descriptor: 3 + $0) }
    let isWatched = environment["WATCHDOG_PID"].map { $0 == process } ?? true
    watchdog =
      isWatched
      ? environment["WATCHDOG_USEC"].flatMap { Int($0) }.map { .microseconds($0) } : nil
  }

  func ready() { notify("READY=1") }
  func stopping() { notify("STOPPING=1") }
  func alive() { notify("WATCHDOG=1") }

  func reloading() {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    notify("RELOADING=1\nMONOTONIC_USEC=\(time.tv_sec * 1_000_000 + time.tv_nsec / 1000)")
  }

  /// Sends a notification. A failure is ignored, because no process may be listening.
  private func notify(_ state: String) {
    guard let notifySocket, let address = UnixAddress(pathOrAbstractName: notifySocket) else {
      return
    }
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    if descriptor < 0 { return }
    defer { close(descriptor) }
    address.send([UInt8](state.utf8), from: descriptor)
  }
}
