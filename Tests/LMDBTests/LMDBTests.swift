import Foundation
import LMDB
import TestSupport
import Testing

/// The wrapper: its promises, its refusals, and the misuse that it traps.
@Suite struct LMDBTests {
  /// A directory with an environment, removed when the test releases it.
  final class Fixture {
    let path = FileManager.default.temporaryDirectory
      .appendingPathComponent("reprise-lmdb-\(UUID().uuidString)").path
    let environment: Environment
    let database: Database

    init(mapBytes: Int = 8 << 20, readersMax: Int = 126) throws {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      environment = try Environment(
        directory: path,
        options: Environment.Options(mapBytes: mapBytes, readersMax: readersMax))
      let transaction = try WriteTransaction(environment)
      database = try transaction.createDatabase("d")
      try transaction.commit()
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func put(_ key: Key, _ value: [UInt8]) throws {
      let transaction = try WriteTransaction(environment)
      try transaction.put(key, unsafe value.span.bytes, in: database)
      try transaction.commit()
    }

    func get(_ key: Key) throws -> [UInt8]? {
      let transaction = try ReadTransaction(environment)
      guard let value = try transaction.get(key, in: database) else { return nil }
      return bytes(value)
    }

    func all() throws -> [[UInt8]: [UInt8]] {
      let transaction = try ReadTransaction(environment)
      var entries: [[UInt8]: [UInt8]] = [:]
      try transaction.forEach(in: database) { key, value in
        entries[bytes(key)] = bytes(value)
        return true
      }
      return entries
    }
  }

  @Test func freePagesAreGivenBackOnlyWhenNobodySeesThem() throws {
    let fixture = try Fixture(mapBytes: 64 << 20)
    let large = [UInt8](repeating: 7, count: 1 << 20)
    func diskBytes() -> Int { fixture.environment.usage().diskBytes }
    for number in 0..<8 { try fixture.put(Key(UInt64(number)), large) }
    let full = diskBytes()
    do {
      let reading = try ReadTransaction(fixture.environment)
      for number in 0..<7 {
        let transaction = try WriteTransaction(fixture.environment)
        try transaction.delete(Key(UInt64(number)), in: fixture.database)
        try transaction.commit()
      }
      try fixture.put(Key("x"), [1])
      // The reader still sees all of them.
      #expect(try fixture.environment.releaseFreePages() == 0)
      for number in 0..<7 {
        guard let value = try reading.get(Key(UInt64(number)), in: fixture.database) else {
          Issue.record("value \(number) is gone")
          return
        }
        #expect(bytes(value) == large)
      }
    }
    // The last commit's own pages wait for the next commit; "x" freed none of these.
    #expect(try fixture.environment.releaseFreePages() >= 7 << 20)
    #expect(diskBytes() < full / 4)
    #expect(try fixture.get(Key(UInt64(7))) == large)
    // The holes are used again.
    for number in 10..<17 { try fixture.put(Key(UInt64(number)), large) }
    for number in 10..<17 { #expect(try fixture.get(Key(UInt64(number))) == large) }
    #expect(fixture.environment.usage().usedBytes < 16 << 20)
  }

  @Test func onlyCommittedChangesAreThere() throws {
    let fixture = try Fixture()
    try fixture.put(Key("a"), [1, 2])
    do {
      let abandoned = try WriteTransaction(fixture.environment)
      try abandoned.put(Key("b"), unsafe [UInt8]([3]).span.bytes, in: fixture.database)
    }
    #expect(try fixture.get(Key("a")) == [1, 2])
    #expect(try fixture.get(Key("b")) == nil)
    let transaction = try WriteTransaction(fixture.environment)
    #expect(try transaction.delete(Key("a"), in: fixture.database))
    #expect(try !transaction.delete(Key("a"), in: fixture.database))
    try transaction.commit()
    #expect(try fixture.get(Key("a")) == nil)
  }

  @Test func aReaderSeesTheMomentItBegan() throws {
    let fixture = try Fixture()
    try fixture.put(Key("a"), [1])
    let reader = try ReadTransaction(fixture.environment)
    try fixture.put(Key("a"), [2])
    var seen: [UInt8]?
    if let value = try reader.get(Key("a"), in: fixture.database) { seen = bytes(value) }
    #expect(seen == [1])
    #expect(try fixture.get(Key("a")) == [2])
  }

  @Test func numbersSortAsNumbersAndIterationCanBeginAnywhere() throws {
    let fixture = try Fixture()
    for number: UInt64 in [300, 2, 70_000, 1] { try fixture.put(Key(number, 5), [0]) }
    let transaction = try ReadTransaction(fixture.environment)
    var seen: [UInt64] = []
    try transaction.forEach(in: fixture.database, from: Key(2)) { key, _ in
      seen.append(Key.number(key) ?? 0)
      return seen.count < 2
    }
    #expect(seen == [2, 300])
    #expect(try transaction.count(fixture.database) == 4)
  }

  @Test func largeValuesAreAlignedWhereTheyLie() throws {
    let fixture = try Fixture()
    for number: UInt64 in 0..<3 {
      try fixture.put(Key(number), [UInt8](repeating: 7, count: 1 << 20))
    }
    let transaction = try ReadTransaction(fixture.environment)
    for number: UInt64 in 0..<3 {
      let value = try unsafe transaction.unsafeGet(Key(number), in: fixture.database)
      let address = unsafe Int(bitPattern: value!.baseAddress!)
      #expect(address % 16 == 0)
    }
  }

  @Test func aFullMapIsAnErrorAndTheDataStays() throws {
    let fixture = try Fixture(mapBytes: 1 << 20)
    try fixture.put(Key("small"), [1])
    #expect(throws: LMDBError.mapFull) {
      try fixture.put(Key("large"), [UInt8](repeating: 0, count: 2 << 20))
    }
    #expect(try fixture.get(Key("small")) == [1])
    try fixture.put(Key("small"), [2])
    #expect(try fixture.get(Key("small")) == [2])
  }

  @Test func readersHaveABound() throws {
    let fixture = try Fixture(readersMax: 1)
    let first = try ReadTransaction(fixture.environment)
    #expect(throws: LMDBError.readersFull) { _ = try ReadTransaction(fixture.environment) }
    _ = try first.count(fixture.database)
  }

  @Test func failedOpeningsGiveTheReason() throws {
    let fixture = try Fixture()
    let options = Environment.Options(mapBytes: 1 << 20)
    #expect(throws: LMDBError.alreadyOpen(path: fixture.path)) {
      _ = try Environment(directory: fixture.path, options: options)
    }
    #expect(throws: LMDBError.inaccessible(path: "/nowhere", errno: ENOENT)) {
      _ = try Environment(directory: "/nowhere", options: options)
    }
    fixture.environment.close()
    #expect(throws: LMDBError.self) { _ = try ReadTransaction(fixture.environment) }
    try Data(repeating: 0x5A, count: 1 << 16)
      .write(to: URL(fileURLWithPath: "\(fixture.path)/data.mdb"))
    #expect(
      throws: LMDBError.damagedPage(
        page: 0, table: nil, reason: "expected LMDB's mark beefc0de, found 5a5a5a5a")
    ) {
      _ = try Environment(directory: fixture.path, options: options)
    }
    // A path that could not be opened must not stay registered.
    try FileManager.default.removeItem(atPath: "\(fixture.path)/data.mdb")
    _ = try Environment(directory: fixture.path, options: options)
  }

  @Test func seriesOfChangesEqualADictionary() throws {
    for seed in Effort.seeds(20) {
      var generator = SeededGenerator(seed: seed)
      let fixture = try Fixture()
      var expected: [[UInt8]: [UInt8]] = [:]
      for _ in 0..<40 {
        var changed = expected
        let commits = generator.draw(3) > 0
        do {
          let transaction = try WriteTransaction(fixture.environment)
          for _ in 0..<generator.draw(8) {
            let key = [UInt8](repeating: UInt8(generator.draw(10)), count: 1 + generator.draw(5))
            if generator.draw(3) == 0 {
              let was = try transaction.delete(Key(bytes: key), in: fixture.database)
              #expect(was == (changed.removeValue(forKey: key) != nil), "seed \(seed)")
            } else {
              let value = [UInt8](
                repeating: UInt8(generator.draw(256)), count: generator.draw(5000))
              try transaction.put(
                Key(bytes: key), unsafe value.span.bytes, in: fixture.database)
              changed[key] = value
            }
          }
          if commits { try transaction.commit() }
        }
        if commits { expected = changed }
        #expect(try fixture.all() == expected, "seed \(seed)")
      }
    }
  }

  // MARK: Misuse

  @Test func emptyKeysTrap() async {
    await #expect(processExitsWith: .failure) { _ = Key("") }
  }

  @Test func overlongKeysTrap() async {
    await #expect(processExitsWith: .failure) {
      _ = Key(bytes: [UInt8](repeating: 0, count: Key.bytesMax + 1))
    }
    _ = Key(bytes: [UInt8](repeating: 0, count: Key.bytesMax))
  }

  @Test func aWriteTransactionOnAnotherThreadTraps() async {
    await #expect(processExitsWith: .failure) {
      let fixture = try Fixture()
      final class Holder: @unchecked Sendable {
        // @unchecked Sendable: needed to make the mistake that must be trapped.
        let transaction: WriteTransaction
        init(_ transaction: consuming WriteTransaction) { self.transaction = transaction }
      }
      let holder = Holder(try WriteTransaction(fixture.environment))
      let database = fixture.database
      let done = DispatchSemaphore(value: 0)
      Thread {
        _ = try? holder.transaction.count(database)
        done.signal()
      }.start()
      done.wait()
    }
  }
}

func bytes(_ span: RawSpan) -> [UInt8] { unsafe span.withUnsafeBytes { unsafe [UInt8]($0) } }
