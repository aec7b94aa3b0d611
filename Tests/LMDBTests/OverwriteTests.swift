import Foundation
import LMDB
import TestSupport
import Testing

/// After `overwriteUnused` deleted data is nowhere in the file, and all other data is unchanged.
@Suite struct OverwriteTests {
  private static let pattern: [UInt8] = (0..<64).map { UInt8($0 * 3 + 41) }

  /// The number of times that the pattern, or a quarter of it, occurs in a file.
  private static func occurrences(_ directory: ScratchDirectory) throws -> Int {
    let data = try Data(contentsOf: URL(fileURLWithPath: directory.dataPath))
    var found = 0
    unsafe data.withUnsafeBytes { data in
      guard let start = data.baseAddress else { return }
      for part in stride(from: 0, to: 64, by: 16) {
        let wanted = [UInt8](pattern[part..<(part + 16)])
        var offset = 0
        while let next = unsafe memchr(
          start + offset, Int32(wanted[0]), max(0, data.count - 15 - offset))
        {
          if unsafe memcmp(next, wanted, 16) == 0 { found += 1 }
          unsafe offset = next - UnsafeMutableRawPointer(mutating: start) + 1
        }
      }
    }
    return found
  }

  /// Values with the pattern, small, middle and large, among others.
  private static func secret(_ number: Int) -> [UInt8] {
    let filler = [UInt8](repeating: UInt8(number & 0xFF), count: number % 3 == 2 ? 9000 : 20)
    let copies = number % 3 == 0 ? 1 : number % 3 == 1 ? 40 : 300
    return filler + (0..<copies).flatMap { _ in pattern } + filler
  }

  private static func plain(_ number: Int) -> [UInt8] {
    [UInt8](repeating: UInt8(number & 0xFF), count: (number * 37) % 3000)
  }

  private static let options = Environment.Options(mapBytes: 256 << 20)

  /// 300 secrets among 300 others, in several commits; then all secrets are deleted.
  private static func fillAndDelete(_ directory: ScratchDirectory, seed: Int) throws
    -> Environment
  {
    var generator = SeededGenerator(seed: UInt64(seed))
    let environment = try Environment(directory: directory.path, options: options)
    for part in 0..<10 {
      let transaction = try WriteTransaction(environment)
      let table = try transaction.createDatabase("table\(part % 3)")
      for number in (part * 30)..<(part * 30 + 30) {
        try transaction.put(
          Key("\(number) secret"), unsafe secret(number).span.bytes, in: table)
        try transaction.put(Key("\(number) plain"), unsafe plain(number).span.bytes, in: table)
        // A shorter value in place of a longer one leaves room behind it.
        if generator.draw(4) == 0 {
          try transaction.put(
            Key("\(number) plain"), unsafe secret(number + 1).span.bytes, in: table)
          try transaction.put(Key("\(number) plain"), unsafe plain(number).span.bytes, in: table)
        }
      }
      if generator.draw(5) > 0 { try transaction.commit() }
    }
    #expect(try occurrences(directory) > 1000)
    for part in 0..<10 {
      let transaction = try WriteTransaction(environment)
      let table = try transaction.createDatabase("table\(part % 3)")
      for number in (part * 30)..<(part * 30 + 30) {
        try transaction.delete(Key("\(number) secret"), in: table)
      }
      try transaction.commit()
    }
    return environment
  }

  private static func checkPlain(_ environment: Environment) throws {
    let transaction = try ReadTransaction.checkingPages(of: environment)
    var found = 0
    for part in 0..<3 {
      guard let table = try transaction.database("table\(part)") else { continue }
      try transaction.forEach(in: table) { key, value in
        let words = String(decoding: bytes(key), as: UTF8.self).split(separator: " ")
        #expect(words.count == 2 && words[1] == "plain" && bytes(value) == plain(Int(words[0])!))
        found += 1
        return true
      }
    }
    #expect(found > 30)
  }

  @Test(arguments: 0..<6) func deletedBytesAreNowhere(seed: Int) throws {
    let directory = try ScratchDirectory()
    let environment = try Self.fillAndDelete(directory, seed: seed)
    #expect(try Self.occurrences(directory) > 0)
    #expect(try environment.overwriteUnused())
    #expect(try Self.occurrences(directory) == 0)
    try Self.checkPlain(environment)
    // The free pages are used again.
    let transaction = try WriteTransaction(environment)
    let table = try transaction.createDatabase("table0")
    for number in 0..<100 {
      try transaction.put(Key("\(number) plain"), unsafe Self.plain(number).span.bytes, in: table)
    }
    try transaction.commit()
    try Self.checkPlain(environment)
  }

  @Test func aReaderKeepsWhatItSeesAndTheCallerIsTold() throws {
    let directory = try ScratchDirectory()
    let environment = try Self.fillAndDelete(directory, seed: 1)
    do {
      let transaction = try WriteTransaction(environment)
      let table = try transaction.createDatabase("table0")
      try transaction.put(Key("kept"), unsafe Self.secret(4).span.bytes, in: table)
      try transaction.put(Key("large"), unsafe Self.secret(5).span.bytes, in: table)
      try transaction.commit()
    }
    var reading: ReadTransaction? = try ReadTransaction(environment)
    let deleting = try WriteTransaction(environment)
    let table = try deleting.createDatabase("table0")
    try deleting.delete(Key("kept"), in: table)
    try deleting.delete(Key("large"), in: table)
    try deleting.commit()

    #expect(try !environment.overwriteUnused())
    #expect(try Self.occurrences(directory) > 0)
    do {
      guard let transaction = reading.take() else { return }
      for (key, number) in [("kept", 4), ("large", 5)] {
        let value = try unsafe transaction.unsafeGet(Key(key), in: table)
        let found = try unsafe [UInt8](#require(value))
        #expect(found == Self.secret(number))
      }
    }
    #expect(try environment.overwriteUnused())
    #expect(try Self.occurrences(directory) == 0)
    try Self.checkPlain(environment)
  }

  @Test func afterOpeningAnewLaterCommitsBringNothingBack() throws {
    let directory = try ScratchDirectory()
    var environment = try Self.fillAndDelete(directory, seed: 2)
    environment.close()
    environment = try Environment(directory: directory.path, options: Self.options)
    #expect(try environment.overwriteUnused())
    for number in 0..<60 {
      let transaction = try WriteTransaction(environment)
      let table = try transaction.createDatabase("table\(number % 3)")
      try transaction.put(Key("\(number) plain"), unsafe Self.plain(number).span.bytes, in: table)
      try transaction.commit()
      #expect(try Self.occurrences(directory) == 0)
    }
    try Self.checkPlain(environment)
  }

  @Test func bytesPastTheLastPageAreOverwritten() throws {
    let directory = try ScratchDirectory()
    let environment = try Self.fillAndDelete(directory, seed: 3)
    // The bytes of a transaction that was writing when the process ended.
    let handle = try #require(FileHandle(forWritingAtPath: directory.dataPath))
    try handle.seekToEnd()
    for _ in 0..<1000 { try handle.write(contentsOf: Self.pattern) }
    try handle.close()
    #expect(try environment.overwriteUnused())
    #expect(try Self.occurrences(directory) == 0)
    try Self.checkPlain(environment)
  }

  @Test func randomSeriesStayWholeAndNoGapHoldsAnything() throws {
    var residueBefore = 0
    for seed in Effort.seeds(12) {
      var series = RandomSeries(seed: 1000 + seed)
      let directory = try ScratchDirectory()
      let environment = try Environment(
        directory: directory.path, options: Environment.Options(mapBytes: 64 << 20))
      for step in 0..<40 {
        _ = try series.step(environment)
        let before = try ReadTransaction(environment)
        let entries = try contents(before)
        _ = consume before
        let residue = PageFaultTests.Image(bytes: try directory.data()).residue()
        #expect(try environment.overwriteUnused(), "seed \(seed), step \(step)")
        let image = PageFaultTests.Image(bytes: try directory.data())
        residueBefore += residue
        #expect(image.residue() == 0, "seed \(seed), step \(step)")
        let after = try ReadTransaction.checkingPages(of: environment)
        #expect(try contents(after) == entries, "seed \(seed), step \(step)")
      }
    }
    #expect(residueBefore > 0)
  }

  @Test func roomForFreePagesIsCleared() throws {
    let directory = try ScratchDirectory()
    try directory.write(try DamagedFileTests.sample())
    var image = PageFaultTests.Image(bytes: try directory.data())
    // LMDB leaves such a list if it took fewer numbers than it had reserved room for.
    let list = image.value(image.node(image.free, 1))
    image.set(list, 8, image.number(list, 8) - 1)
    try directory.write(image.bytes)
    #expect(image.residue() > 0)
    let environment = try Environment(directory: directory.path, options: Self.options)
    #expect(try environment.checkPages().leakedPages == 1)
    // LMDB would count the pages incorrectly.
    #expect(throws: LMDBError.self) {
      try copyCompacted(environment, to: "\(directory.path)/copy")
    }
    #expect(try environment.overwriteUnused())
    #expect(PageFaultTests.Image(bytes: try directory.data()).residue() == 0)
  }

  private func contents(_ transaction: borrowing ReadTransaction) throws -> [[UInt8]: [UInt8]] {
    var entries: [[UInt8]: [UInt8]] = [:]
    for number in 0..<3 {
      guard let table = try transaction.database("table\(number)") else { continue }
      try transaction.forEach(in: table) { key, value in
        entries[[UInt8(number)] + bytes(key)] = bytes(value)
        return true
      }
    }
    return entries
  }

  @Test func aDamagedFileIsLeftAlone() throws {
    let directory = try ScratchDirectory()
    let environment = try Self.fillAndDelete(directory, seed: 4)
    let descriptor = unsafe open(directory.dataPath, O_RDWR)
    defer { close(descriptor) }
    let last = environment.usage().usedBytes / 4096 - 1
    for page in 2...last {
      // The flags of every page.
      var flags: UInt16 = 0x20
      unsafe pwrite(descriptor, &flags, 2, page * 4096 + 10)
    }
    let before = try directory.data()
    #expect(throws: LMDBError.self) { try environment.overwriteUnused() }
    #expect(try directory.data() == before)
  }
}
