import Foundation
import LMDB
import Testing

/// What LMDB writes passes the check of pages, in whatever order it came about.
@Suite struct PageCheckTests {
  @Test func whatLMDBWritesPasses() throws {
    for seed in 0..<60 {
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
      // As a compacted copy does, and what is written into that.
      let copy = try ScratchDirectory()
      try copyCompacted(environment, to: copy.dataPath)
      environment = try Environment(
        directory: copy.path, options: Environment.Options(mapBytes: 64 << 20))
      #expect(try environment.checkPages().freePages == 0, "seed \(seed)")
      _ = try series.step(environment)
      try environment.checkPages()
    }
  }
}

func copyCompacted(_ environment: Environment, to path: String) throws {
  let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
  try #require(descriptor >= 0)
  defer { close(descriptor) }
  try environment.copyCompacted(to: descriptor)
}
