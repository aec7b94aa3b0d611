import Concurrency
import Foundation
import Glibc
import TestSupport
import Testing

@testable import RepriseServer

/// A service removes the socket that it has bound, and no other.
///
/// What went wrong: a service that ended slowly removed the socket of its successor, which
/// continued but could not be reached; other files at the path were removed as well.
@Suite struct SocketFileTests {
  private final class Directory {
    let path = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    var socket: String { path + "/s" }

    init() throws {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
  }

  private func kind(_ path: String) -> mode_t? {
    var status = stat()
    return unsafe lstat(path, &status) == 0 ? status.st_mode & S_IFMT : nil
  }

  @Test func aSuccessorKeepsItsSocket() throws {
    let directory = try Directory()
    for _ in 0..<20 {
      let first = try SocketFile.listen(path: directory.socket, mode: 0o600, group: nil)
      // It ends, or its file is removed. Only then may another service begin there, whose file may
      // get the same inode number.
      close(first.socket)
      unsafe unlink(directory.socket)
      let second = try SocketFile.listen(path: directory.socket, mode: 0o600, group: nil)
      first.file.remove()
      #expect(try LineConnection(directory.socket).hasInput == false)
      second.file.remove()
      #expect(kind(directory.socket) == nil)
      close(second.socket)
    }
  }

  @Test func otherFilesAtThePathStay() throws {
    let directory = try Directory()
    let bound = try SocketFile.listen(path: directory.socket, mode: 0o600, group: nil)
    unsafe unlink(directory.socket)
    try Data("x".utf8).write(to: URL(fileURLWithPath: directory.socket))
    bound.file.remove()
    #expect(kind(directory.socket) == S_IFREG)
    #expect(throws: StartError.notASocket(path: directory.socket)) {
      try SocketFile.listen(path: directory.socket, mode: 0o600, group: nil)
    }
    #expect(kind(directory.socket) == S_IFREG)
    close(bound.socket)
  }

  /// The first one wins: the others get an error, and its socket stays.
  @Test(arguments: [false, true]) func ofManyThatStartAtOnceOneListens(isStale: Bool) throws {
    let directory = try Directory()
    let path = directory.socket
    for round in 0..<20 {
      if isStale {
        let stale = try SocketFile.listen(path: directory.socket, mode: 0o600, group: nil)
        close(stale.socket)
      }
      let outcomes = Locked<[Result<(socket: Int32, file: SocketFile), StartError>]>([])
      DispatchQueue.concurrentPerform(iterations: 6) { _ in
        do throws(StartError) {
          let bound = try SocketFile.listen(path: path, mode: 0o600, group: nil)
          outcomes.withLock { $0.append(.success(bound)) }
        } catch {
          outcomes.withLock { $0.append(.failure(error)) }
        }
      }
      var listening: [(socket: Int32, file: SocketFile)] = []
      for outcome in outcomes.withLock({ $0 }) {
        switch outcome {
        case .success(let bound): listening.append(bound)
        case .failure(let error): #expect(error == .alreadyServed(path: directory.socket))
        }
      }
      #expect(listening.count == 1, "round \(round)")
      #expect(throws: Never.self) { try LineConnection(directory.socket) }
      for bound in listening {
        bound.file.remove()
        close(bound.socket)
      }
      #expect(kind(directory.socket) == nil)
    }
  }

  /// At every moment, whatever the process's mask allows.
  @Test func theFileHasItsRights() throws {
    let directory = try Directory()
    for mode: UInt32 in [0o600, 0o660, 0o666] {
      let bound = try SocketFile.listen(path: directory.socket, mode: mode, group: "\(getgid())")
      var status = stat()
      #expect(unsafe lstat(directory.socket, &status) == 0 && status.st_mode & 0o777 == mode)
      bound.file.remove()
      close(bound.socket)
    }
    #expect(throws: StartError.unknownGroup("nope-nope")) {
      try SocketFile.listen(path: directory.socket, mode: 0o600, group: "nope-nope")
    }
    #expect(kind(directory.socket) == nil)
  }

  @Test func namesThatAreNoHostsAreTold() throws {
    #expect(throws: StartError.unknownHost("no host", address: "x")) {
      try TCPSocket.listen(host: "no host", port: 0, as: "x")
    }
    let bound = try TCPSocket.listen(host: "127.0.0.1", port: 0, as: "x")
    close(bound)
  }
}
