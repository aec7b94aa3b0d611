import Glibc
import RepriseModel

/// Clients that name files and snapshots.
enum FileClients {
  static let all: [HostileClient] = [
    HostileClient("restoring /etc/passwd", .answered("corrupt")) { try $0.restore("/etc/passwd") },
    HostileClient("restoring /dev/zero", .answered("invalid_params")) {
      try $0.restore("/dev/zero")
    },
    HostileClient("restoring a directory", .answered("invalid_params")) { try $0.restore("/etc") },
    HostileClient("restoring a pipe that nobody writes to", .answered("invalid_params")) { target in
      let path = "\(target.directory)/\(Target.uniqueName())"
      unsafe mkfifo(path, 0o600)
      defer { unsafe unlink(path) }
      return try target.restore(path)
    },
    HostileClient("restoring a path of 4,096 letters", .answered("snapshot_not_found")) {
      try $0.restore(String(repeating: "p", count: $0.limits.pathBytesMax))
    },
    HostileClient("a path with a zero byte", .answered("invalid_params")) {
      try $0.restore("/etc/passwd\\u0000.snapshot")
    },
    HostileClient("a path with a line end", .answered("snapshot_not_found")) {
      try $0.restore("none\\n2026-11-26T00:00:00Z error reprise: all is lost")
    },
    HostileClient("a snapshot named ../x", .answered("invalid_params")) {
      try $0.call("snapshot.create", "{\(prey),\"name\":\"../x\"}")
    },
    HostileClient("verifying what is not there, again and again", .answered("snapshot_not_found")) {
      try $0.ask(
        list(request("snapshot.verify", "{\"snapshot\":\"none\"}"), 1000, separator: "\n"))
    },
  ]
}

extension Target {
  /// Restores a corpus with a new name from a file.
  fileprivate func restore(_ path: String) throws -> Outcome {
    try call("snapshot.restore", "{\"corpus\":\"\(Target.uniqueName())\",\"path\":\"\(path)\"}")
  }
}
