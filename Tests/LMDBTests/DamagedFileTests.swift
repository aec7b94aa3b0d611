import Foundation
import LMDB
import TestSupport
import Testing

/// Files whose bytes were changed or cut off are refused with a reason, or can be read and written
/// without a trap: a file that passes the check of pages has the shape that LMDB relies on.
@Suite struct DamagedFileTests {
  /// A small file with everything: tables of one page and of two levels, an empty one, large
  /// values, free pages in and out of a gap, keys of all sizes.
  static func sample() throws -> [UInt8] {
    let directory = try ScratchDirectory()
    let environment = try Environment(
      directory: directory.path, options: Environment.Options(mapBytes: 1 << 20))
    func change(_ body: (borrowing WriteTransaction) throws -> Void) throws {
      let transaction = try WriteTransaction(environment)
      try body(transaction)
      try transaction.commit()
    }
    try change { transaction in
      let small = try transaction.createDatabase("table0")
      for number: UInt64 in 0..<20 {
        try transaction.put(
          Key(number), unsafe [UInt8](repeating: 1, count: Int(number)).span.bytes, in: small)
      }
      let deep = try transaction.createDatabase("table1")
      for number: UInt8 in 0..<3 {
        try transaction.put(
          Key(bytes: [UInt8](repeating: number, count: 100)),
          unsafe [UInt8](repeating: number, count: 1500).span.bytes, in: deep)
      }
      try transaction.put(
        Key("large"), unsafe [UInt8](repeating: 9, count: 6000).span.bytes, in: deep)
      _ = try transaction.createDatabase("table2")
    }
    // While this is open, the pages that each commit frees stay in a list of their own.
    let reading = try ReadTransaction(environment)
    for first: UInt64 in [5, 12] {
      try change { transaction in
        guard let small = try transaction.database("table0") else { return }
        for number in first..<(first + 5) { try transaction.delete(Key(number), in: small) }
      }
    }
    _ = consume reading
    let counts = try environment.checkPages()
    #expect(counts.treePages >= 6 && counts.valuePages == 2 && counts.freePages > 0)
    environment.close()
    return try directory.data()
  }

  enum Outcome {
    case refused, passed
  }

  /// Opens the directory's file, checks it and, if it passes, reads all of it and writes to it.
  private static func visit(
    _ directory: ScratchDirectory, _ what: String, rewrites: Int = 2
  ) -> Outcome {
    do throws(LMDBError) {
      let environment = try Environment(
        directory: directory.path, options: Environment.Options(mapBytes: 1 << 20))
      defer { environment.close() }
      do throws(LMDBError) {
        let transaction = try ReadTransaction.checkingPages(of: environment)
        _ = try countEntries(transaction)
      } catch {
        if case .damagedPage = error { return .refused }
        Issue.record("\(what): \(error)")
        return .refused
      }
      do throws(LMDBError) {
        for pass in 0..<rewrites { try rewrite(environment, pass) }
      } catch {
        // A last page that is too high leaves no room in the map, which does no harm.
        if error != .mapFull { Issue.record("\(what), in writing: \(error)") }
        return .passed
      }
      do throws(LMDBError) {
        try environment.checkPages()
      } catch {
        Issue.record("\(what), after writing: \(error)")
      }
      return .passed
    } catch {
      if case .damagedPage = error { return .refused }
      Issue.record("\(what), in opening: \(error)")
      return .refused
    }
  }

  /// Changes each table: removes entries, adds some that take pages of their own, and removes
  /// those.
  private static func rewrite(_ environment: Environment, _ pass: Int) throws(LMDBError) {
    let transaction = try WriteTransaction(environment)
    for number in 0..<3 {
      let table = try transaction.createDatabase("table\(number)")
      var first: [UInt8]?
      try transaction.forEach(in: table) { key, _ in
        first = bytes(key)
        return false
      }
      if let first { try transaction.delete(Key(bytes: first), in: table) }
      let added = Key(bytes: [UInt8](repeating: UInt8(40 * pass + number), count: 300))
      try transaction.put(
        added, unsafe [UInt8](repeating: 3, count: 1700 + 3000 * number).span.bytes, in: table)
      if number == 1 { try transaction.delete(added, in: table) }
    }
    try transaction.commit()
  }

  @Test(arguments: [0xFF, 0x01, 0x80])
  func everyByteChanged(pattern: Int) throws {
    let sample = try Self.sample()
    let directory = try ScratchDirectory()
    try directory.write(sample)
    var passed = 0
    for offset in sample.indices {
      // Of bytes in a gap or inside a value, which are all alike, a full run changes each by one
      // pattern, and a quick run every eighth.
      let isInside = offset % 4096 > 160 && sample[offset - 1] == sample[offset]
      let isChosen = Effort.isFull || UInt64(offset) % 8 == Effort.seed % 8
      if isInside && (pattern != 0xFF || !isChosen) { continue }
      let descriptor = unsafe open(directory.dataPath, O_RDWR)
      defer { close(descriptor) }
      var byte = sample[offset] ^ UInt8(pattern)
      unsafe pwrite(descriptor, &byte, 1, offset)
      switch Self.visit(directory, "byte \(offset) xor \(pattern)", rewrites: 1) {
      case .refused:
        byte = sample[offset]
        unsafe pwrite(descriptor, &byte, 1, offset)
      case .passed:
        passed += 1
        ftruncate(descriptor, sample.count)
        unsafe pwrite(descriptor, sample, sample.count, 0)
      }
    }
    #expect(passed > 0 && passed < sample.count)
  }

  @Test func everyTruncation() throws {
    let sample = try Self.sample()
    let directory = try ScratchDirectory()
    var generator = SeededGenerator(seed: 1)
    let cuts =
      (0..<(sample.count / 4096)).map { $0 * 4096 }
      + (0..<200).map { _ in generator.draw(sample.count) }
    for cut in cuts {
      try directory.write([UInt8](sample[..<cut]))
      // An empty file is a new environment; and the last pages of the file may be free ones.
      let outcome = Self.visit(directory, "cut to \(cut) bytes")
      #expect(outcome == .refused || cut == 0, "cut to \(cut) bytes")
    }
  }

  @Test func randomMutations() throws {
    let sample = try Self.sample()
    let directory = try ScratchDirectory()
    let seeds = Effort.seeds(4000)
    var passed = 0
    for seed in seeds {
      var generator = SeededGenerator(seed: seed)
      var bytes = sample
      for _ in 0..<(1 + generator.draw(4)) {
        let page = generator.draw(bytes.count / 4096) * 4096
        switch generator.draw(6) {
        case 0:  // A page in another's place.
          let other = generator.draw(bytes.count / 4096) * 4096
          bytes.replaceSubrange(page..<(page + 4096), with: bytes[other..<(other + 4096)])
        case 1:  // A small number where page numbers, counts, sizes and flags are.
          bytes[page + generator.draw(160)] = UInt8(generator.draw(20))
        case 2:  // In the nodes.
          bytes[page + 4095 - generator.draw(300)] = UInt8(generator.draw(256))
        case 3:  // Two bytes of the header or of a node's offset.
          let offset = page + 2 * generator.draw(20)
          bytes[offset] = UInt8(generator.draw(256))
          bytes[offset + 1] = UInt8(generator.draw(17))
        case 4:  // A block of zeros.
          let offset = page + generator.draw(4096 - 64)
          for index in offset..<(offset + 64) { bytes[index] = 0 }
        default:
          bytes[generator.draw(bytes.count)] = UInt8(generator.draw(256))
        }
      }
      try directory.write(bytes)
      if Self.visit(directory, "seed \(seed)") == .passed { passed += 1 }
    }
    #expect(passed > seeds.count / 40 && passed < seeds.count - seeds.count / 40, "seeds \(seeds)")
  }
}
