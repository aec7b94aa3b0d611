import Glibc
import RepriseModel
import TestSupport

/// Clients that keep connections, cut them, or do not read from them.
enum ConnectionClients {
  static let all: [HostileClient] = [
    HostileClient("a connection that says nothing", .closed) { try $0.connect().untilClosed() },
    HostileClient("a byte each 10 ms", .exceedsAndCloses("line_seconds")) { target in
      let connection = try target.connect()
      while connection.send("a") { usleep(10_000) }
      return try connection.untilClosed()
    },
    HostileClient("a request, a byte at a time", .served) { target in
      let connection = try target.connect()
      for byte in request("health.live") { connection.send(String(byte)) }
      return try connection.ask("", answers: 1)
    },
    HostileClient("half a line, then silence", .exceedsAndCloses("line_seconds")) { target in
      let connection = try target.connect()
      connection.send(String(request("health.live").dropLast(9)))
      return try connection.untilClosed()
    },
    HostileClient("answers that are never read", .closed) { target in
      let connection = try target.connect()
      // Blocks when the buffers of both sides are full, until the service disconnects.
      while connection.send(list(request("server.info"), 100, separator: "\n") + "\n") {}
      return .closed
    },
    HostileClient("drafts that are never read", .closed) { target in
      let connection = try target.connect()
      let line = speculate(contexts: list("[5,6,7]", target.limits.contextsMax))
      while connection.send(line + "\n") {}
      return .closed
    },
    HostileClient("1,000 connections at once", .served) { target in
      let all = try (0..<1000).map { _ in try target.connect() }
      var outcome = Outcome.served
      for connection in all where outcome == .served {
        outcome = try connection.ask(request("health.live"))
      }
      return outcome
    },
    HostileClient("connecting and leaving, 1,000 times", .served) { target in
      for _ in 0..<1000 { try target.connect().close() }
      return try target.ask(request("health.live"))
    },
    HostileClient("half a line, then gone", .gone) { target in
      try target.connect().send(String(request("health.live").dropLast(9)))
      return .gone
    },
    HostileClient("gone with 1,000 answers to come", .gone) { target in
      let insert = sequenceInsert("{\"tokens\":[7,8,9]}")
      try target.connect().send(list(insert, 1000, separator: "\n") + "\n")
      return .gone
    },
    HostileClient("reset in the middle of a line", .gone) { target in
      let connection = try target.connect()
      connection.send(list(request("server.info"), 10, separator: "\n"))
      connection.reset()
      return .gone
    },
    HostileClient("gone while 4,096 drafts are made", .gone) { target in
      let contexts = list("[5,6,7]", target.limits.contextsMax)
      try target.connect().send(speculate(contexts: contexts) + "\n")
      return .gone
    },
    HostileClient("gone with 16 sessions open", .gone) { target in
      let connection = try target.connect()
      _ = try connection.ask(list(sessionOpen(prompt: "7"), 16, separator: "\n"))
      return .gone
    },
    HostileClient("100,000 requests at once", .served) {
      try $0.ask(list(request("health.live"), 100_000, separator: "\n"))
    },
    HostileClient("half closed, and waiting", .closed) { target in
      let connection = try target.connect()
      connection.endSending()
      return try connection.untilClosed()
    },
    HostileClient("half closed behind half a line", .closed) { target in
      let connection = try target.connect()
      connection.send(String(request("health.live").dropLast(9)))
      connection.endSending()
      return try connection.untilClosed()
    },
  ]
}
