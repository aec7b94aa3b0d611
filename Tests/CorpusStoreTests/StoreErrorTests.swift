import Foundation
import Glibc
import StoreErrors
import Testing

@testable import CorpusStore

/// Errors say what was wrong and what to do, in the store's terms.
@Suite struct StoreErrorTests {
  @Test func missingPathsAreNamed() throws {
    let directory = TemporaryDirectory()
    try StoreDirectory.make(directory.path)
    let path = directory.path + "/a/b/store"
    let error = StoreError(errno: ENOENT, path: path)
    #expect("\(error)".hasPrefix("\(path) cannot be used: there is no \(directory.path)/a;"))
    #expect(throws: error) { try Store(path: path) }
    for nothing in [directory.path, directory.path + "/nope"] {
      #expect(throws: StoreError.noStore(path: nothing)) {
        try StoreInspection.check(path: nothing)
      }
    }
  }

  /// What went wrong: a full disk was reported in bytes of the map, with the advice to enlarge
  /// that.
  @Test func aFullDiskIsNoFullMap() throws {
    let directory = TemporaryDirectory()
    try StoreDirectory.make(directory.path)
    for code in [ENOSPC, EDQUOT] {
      // The file could not be created, so it does not exist.
      let error = StoreError(errno: code, path: directory.path + "/data.mdb")
      guard case .diskFull(let path, let free, let bytes) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(path == directory.path + "/data.mdb" && free > 0 && bytes >= free)
      #expect(
        "\(error)".contains("the disk of \(path) is full") && "\(error)".contains("\(free) bytes"))
    }
    let map = StoreError.mapFull(usedBytes: 5, mapBytes: 7)
    #expect("\(map)".contains("5 of 7 bytes") && !"\(map)".contains("--"))
  }

  @Test func tooManyOpenFilesAreNoMissingFile() {
    var limit = rlimit()
    _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    let error = StoreError(errno: EMFILE, path: "/x")
    #expect("\(error)".contains("limit of open files allows (\(limit.rlim_cur))"))
    #expect("\(StoreError(errno: EACCES, path: "/x"))".contains("see its owner and its mode"))
  }

  /// Clients see files by their place in the store; the store's own path is in the log alone.
  @Test func clientsAreToldNoPathsOfTheMachine() {
    let (root, corpus) = ("/srv/secret/store", "/srv/secret/store/corpora/c")
    let errors: [StoreError] = [
      .notAStore(path: root, found: "a file"), .noStore(path: root), .inUse(path: root),
      .formatVersion(path: corpus, found: 1, expected: 2),
      .inaccessible(path: corpus, errno: ENOENT),
      .inaccessible(path: root + "/format", errno: EACCES),
      .diskFull(path: corpus, freeBytes: 0, diskBytes: 1), .corrupt(what: "x", where: corpus),
      .fileFailed(path: corpus, reason: "x"),
      .snapshotDamaged(snapshot: root + "/snapshots/s.snapshot", reason: "x"),
    ]
    for error in errors {
      #expect("\(error)".contains("/srv/secret"), "\(error)")
      #expect(!error.descriptionForClients.contains("secret/"), "\(error.descriptionForClients)")
    }
    #expect(StoreError.pathForClients(corpus) == "corpora/c")
    #expect(StoreError.pathForClients("./h/snapshots/s.snapshot") == "snapshots/s.snapshot")
    #expect(StoreError.pathForClients("segment 7") == "segment 7")
  }
}
