import Concurrency
import Foundation
import LMDB
import Testing

/// Opening for reading only, and copies.
@Suite struct ReadOnlyTests {
  private func filled(_ directory: ScratchDirectory) throws -> Environment {
    let environment = try Environment(
      directory: directory.path, options: Environment.Options(mapBytes: 16 << 20))
    let transaction = try WriteTransaction(environment)
    let table = try transaction.createDatabase("table0")
    for number: UInt64 in 0..<500 {
      try transaction.put(
        Key(number), unsafe [UInt8](repeating: 5, count: Int(number) * 9).span.bytes, in: table)
    }
    try transaction.commit()
    return environment
  }

  @Test func aCopyIsASingleFileAndOtherBytesMayFollow() throws {
    let directory = try ScratchDirectory()
    let environment = try filled(directory)
    let copy = "\(directory.path)/copy"
    try copyCompacted(environment, to: copy)
    let handle = try #require(FileHandle(forWritingAtPath: copy))
    let end = try handle.seekToEnd()
    #expect(end % 4096 == 0)
    for trailing in [0, 1, 100, 4096, 100_000] {
      try handle.truncate(atOffset: end)
      try handle.seekToEnd()
      try handle.write(contentsOf: Data(repeating: 0xA7, count: trailing))
      // The smallest map is enlarged.
      let reading = try Environment(
        readingFile: copy, options: Environment.Options(mapBytes: 4096))
      let transaction = try ReadTransaction.checkingPages(of: reading)
      #expect(try countEntries(transaction) == 500)
      #expect(transaction.pageCounts?.freePages == 0 && transaction.pageCounts?.leakedPages == 0)
      #expect(transaction.transactionID == 1)
      _ = consume transaction
      #expect(throws: LMDBError.self) { _ = try WriteTransaction(reading) }
      reading.close()
    }
    #expect(!FileManager.default.fileExists(atPath: "\(copy)-lock"))
  }

  @Test func failuresOfCopyingAreNamed() throws {
    let directory = try ScratchDirectory()
    let environment = try filled(directory)
    #expect(throws: LMDBError.self) { try environment.copyCompacted(to: -1) }
    var ends: [Int32] = [0, 0]
    unsafe pipe(&ends)
    close(ends[0])
    #expect(throws: LMDBError.self) { try environment.copyCompacted(to: ends[1]) }
    close(ends[1])
    let full = unsafe open("/dev/full", O_WRONLY)
    #expect(throws: LMDBError.diskFull) { try environment.copyCompacted(to: full) }
    close(full)
    // The source continues as before.
    try environment.checkPages()
  }

  @Test func transactionsAreNumbered() throws {
    let directory = try ScratchDirectory()
    let environment = try filled(directory)
    #expect(try ReadTransaction(environment).transactionID == 1)
    let transaction = try WriteTransaction(environment)
    #expect(transaction.transactionID == 2)
  }

  @Test func missingEnvironmentsAreNotCreated() throws {
    let directory = try ScratchDirectory()
    let options = Environment.Options(mapBytes: 1 << 20, isReadOnly: true)
    let missing = LMDBError.inaccessible(path: directory.dataPath, errno: ENOENT)
    #expect(throws: missing) { _ = try Environment(directory: directory.path, options: options) }
    try directory.write([])
    #expect(throws: LMDBError.self) {
      _ = try Environment(directory: directory.path, options: options)
    }
    #expect(try directory.data().isEmpty)
  }

  /// Another process reads and checks while this one writes, frees and reuses pages.
  @Test func anotherProcessReadsWhileThisOneWrites() async throws {
    let directory = try ScratchDirectory()
    let environment = try filled(directory)
    let stop = Locked(false)
    let writer = Thread {
      var series = RandomSeries(seed: 7)
      while !stop.withLock({ $0 }) { _ = try? series.step(environment, changesMax: 20) }
    }
    writer.start()
    defer { stop.withLock { $0 = true } }
    let path = directory.path
    await #expect(processExitsWith: .success) { [path = path as String] in
      let options = Environment.Options(mapBytes: 16 << 20, isReadOnly: true)
      var transactions: Set<Int> = []
      for _ in 0..<40 {
        let reading = try Environment(directory: path, options: options)
        for _ in 0..<10 {
          let transaction = try ReadTransaction.checkingPages(of: reading)
          transactions.insert(transaction.transactionID)
          _ = try countEntries(transaction)
        }
        reading.close()
      }
      if transactions.count < 5 { exit(2) }
    }
  }

}
