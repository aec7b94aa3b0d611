import Foundation
import LMDB
import TestSupport
import Testing

/// Files written by LMDB pass the check of pages, after any series of changes.
@Suite struct PageCheckTests {
  @Test func filesWrittenByLMDBPass() throws {
    for seed in Effort.seeds(60, atLeast: 12) {
      var series = RandomSeries(seed: seed)
      let directory = try ScratchDirectory()
      var environment = try Environment(
        directory: directory.path, options: Environment.Options(mapBytes: 64 << 20))
      #expect(try environment.checkPages().treePages == 0)
      var reading: ReadTransaction?
      for step in 0..<60 {
        _ = try series.step(environment)
        do {
          let counts = try environment.checkPages()
          #expect(counts.leakedPages == 0, "seed \(seed), step \(step)")
        } catch {
          Issue.record("seed \(seed), step \(step): \(error)")
          return
        }
        switch series.generator.draw(8) {
        case 0: reading = try ReadTransaction(environment)
        case 1: reading = nil
        case 2:
          reading = nil
          environment.close()
          environment = try Environment(
            directory: directory.path, options: Environment.Options(mapBytes: 64 << 20))
        default: break
        }
      }
      _ = reading.take()
      // A compacted copy passes as well, also after further writes.
      let copy = try ScratchDirectory()
      try copyCompacted(environment, to: copy.dataPath)
      environment = try Environment(
        directory: copy.path, options: Environment.Options(mapBytes: 64 << 20))
      #expect(try environment.checkPages().freePages == 0, "seed \(seed)")
      _ = try series.step(environment)
      try environment.checkPages()
    }
  }

  /// A commit writes pages in any order, then a meta page. A crash leaves any part of it, and the
  /// state before.
  @Test func filesLeftByACrashPass() throws {
    for seed in Effort.seeds(20) {
      var series = RandomSeries(seed: 500 + seed)
      let directory = try ScratchDirectory()
      let options = Environment.Options(mapBytes: 64 << 20)
      var before: [UInt8] = []
      for step in 0..<20 {
        let environment = try Environment(directory: directory.path, options: options)
        _ = try series.step(environment)
        environment.close()
        let after = try directory.data()
        defer { before = after }
        if before.isEmpty { continue }
        let crashed = try ScratchDirectory()
        // Part 1 loses some pages, 2 none, 3 all but those that made the file longer.
        for part in 0..<4 {
          var image = after
          for page in 0..<(min(before.count, after.count) / 4096)
          where page < 2 || part == 3 || part < series.generator.draw(3) {
            let range = page * 4096..<page * 4096 + 4096
            image.replaceSubrange(range, with: before[range])
          }
          // A meta page that could not be written gets its old number and last page back, beside
          // new trees.
          for meta in 0..<2 where part == 1 {
            let trees = meta * 4096 + 24..<meta * 4096 + 136
            let isNewer = before[meta * 4096 + 144] != after[meta * 4096 + 144]
            if isNewer { image.replaceSubrange(trees, with: after[trees]) }
          }
          try crashed.write(image)
          let environment = try Environment(directory: crashed.path, options: options)
          defer { environment.close() }
          do {
            let transaction = try ReadTransaction.checkingPages(of: environment)
            _ = try countEntries(transaction)
          } catch {
            Issue.record("seed \(seed), step \(step), part \(part): \(error)")
          }
          _ = try series.step(environment, changesMax: 5)
          try environment.checkPages()
        }
      }
    }
  }

  /// Lists of free pages that take pages of their own, and tables of many levels.
  @Test func largeTreesPass() throws {
    let directory = try ScratchDirectory()
    let environment = try Environment(
      directory: directory.path, options: Environment.Options(mapBytes: 256 << 20))
    var treePages = 0
    for round in 0..<6 {
      let transaction = try WriteTransaction(environment)
      let table = try transaction.createDatabase("table0")
      for number in 0..<6000 {
        // Long keys with one beginning make branches of few children.
        let key = Key(
          bytes: [UInt8](repeating: 7, count: 400) + Array("\(number * 7919 % 6007)".utf8))
        if round % 2 == 0 {
          try transaction.put(
            key, unsafe [UInt8](repeating: 1, count: number % 1600).span.bytes, in: table)
        } else if number % 50 > 0 {
          try transaction.delete(key, in: table)
        }
      }
      try transaction.commit()
      let counts = try environment.checkPages()
      treePages = max(treePages, counts.treePages)
      #expect(counts.leakedPages == 0)
      if round % 2 == 1 { #expect(counts.freePages > 1000) }
    }
    #expect(treePages > 1500)
    #expect(try environment.overwriteUnused())
    try environment.checkPages()
  }
}

func copyCompacted(_ environment: Environment, to path: String) throws {
  let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
  try #require(descriptor >= 0)
  defer { close(descriptor) }
  try environment.copyCompacted(to: descriptor)
}
