import Foundation
import Synchronization
import Testing

@testable import CorpusStore

@Suite struct MemoryBudgetTests {
  /// A number that is read and changed under the lock of a budget, which is taken last of all.
  private final class Figure: Sendable {
    let value = Atomic(0)
  }

  private static func budget(_ limit: Int, measured: Int = 0) -> MemoryBudget {
    MemoryBudget(limit: limit, measuredBy: { measured })
  }

  @Test func eachPurposeHasItsCeiling() throws {
    let budget = Self.budget(1600, measured: 100)
    #expect(budget.reserve(1101, for: .merging) == nil)
    let merging = try #require(budget.reserve(1100, for: .merging))
    // A quarter is left to sessions, and a sixteenth of that to sealing.
    #expect(budget.reserve(301, for: .sessions) == nil)
    let session = try #require(budget.reserve(300, for: .sessions))
    #expect(budget.reserve(101, for: .sealing) == nil)
    let sealing = try #require(budget.reserve(100, for: .sealing))
    #expect(budget.reserve(1, for: .sealing) == nil)
    #expect(budget.reserve(50, for: .sealing, isUrgent: true) != nil, "urgent work always passes")
    let usage = budget.usage
    // Sessions, writes, sealing, merging, operations.
    #expect(usage.reserved == [300, 0, 100, 1100, 0])
    #expect(usage.refusals == [1, 0, 2, 1, 0] && usage.measured == 100)
    withExtendedLifetime((merging, session, sealing)) {}
  }

  /// Taken memory is measured, and no longer counted as reserved.
  @Test func nothingIsCountedTwice() throws {
    let measured = Figure()
    let budget = MemoryBudget(limit: 1600, measuredBy: { measured.value.load(ordering: .relaxed) })
    var merging = budget.reserve(1000, for: .merging)
    #expect(budget.fits(500, for: .sessions) && !budget.fits(501, for: .sessions))
    measured.value.store(800, ordering: .relaxed)
    merging?.update(taken: 800)
    #expect(budget.fits(500, for: .sessions) && !budget.fits(501, for: .sessions))
    measured.value.store(1000, ordering: .relaxed)
    merging?.update(taken: 1000)
    #expect(budget.fits(500, for: .sessions) && !budget.fits(501, for: .sessions))
    // It is freed, and measured anew although the last reading is recent.
    measured.value.store(0, ordering: .relaxed)
    merging = nil
    #expect(budget.fits(1500, for: .sessions) && !budget.fits(1501, for: .sessions))
  }

  /// Progress is reported when it is worth a reading of the memory in use.
  @Test func smallStepsAreReportedTogether() throws {
    let step = MemoryBudget.Reservation.bytesPerUpdate
    let budget = Self.budget(64 * step)
    let merging = try #require(budget.reserve(32 * step, for: .merging))
    merging.advance(taken: step - 1)
    #expect(budget.usage.expected == 32 * step)
    merging.advance(taken: step)
    #expect(budget.usage.expected == 31 * step)
    merging.advance(taken: 2 * step - 1)
    #expect(budget.usage.expected == 31 * step)
  }

  /// Many prompts within one reading of the kernel's figures must not pass together.
  @Test func memoryTakenSinceTheLastReadingCounts() {
    let readings = Figure()
    let budget = MemoryBudget(limit: 1600) {
      readings.value.add(1, ordering: .relaxed)
      return 0
    }
    var passed = 0
    // Each reservation is returned immediately: its memory stays with the session.
    while readings.value.load(ordering: .relaxed) < 2 && passed < 100 {
      if budget.reserve(150, for: .sessions) == nil { break }
      passed += 1
    }
    #expect(passed <= 11, "10 fit; the one after them has it read anew")
  }

  @Test func aReservationIsResizedWithinTheLimit() throws {
    let budget = Self.budget(1600)
    let merging = try #require(budget.reserve(1000, for: .merging))
    #expect(!merging.resize(to: 1201) && merging.resize(to: 1200))
    // A merge that has begun leaves a sixteenth to sessions, and another to sealing.
    #expect(!merging.resize(to: 1401, isUrgent: true) && merging.resize(to: 1400, isUrgent: true))
    let usage = budget.usage
    #expect(usage.reserved[MemoryBudget.Purpose.merging.rawValue] == 1400)
    #expect(usage.expected == 1400 && usage.measured == 0)
    #expect(budget.fits(100, for: .sessions) && !budget.fits(101, for: .sessions))
    #expect(merging.resize(to: 400) && budget.fits(1100, for: .sessions))
    #expect(!budget.fits(1101, for: .sessions))
    let removal = try #require(budget.reserve(100, for: .operations))
    #expect(!removal.resize(to: 1201, isUrgent: true) && removal.resize(to: 1200, isUrgent: true))
  }

  /// Merging gives way when a session does not fit beside it, and no other work does.
  @Test func mergingYieldsToSessions() throws {
    let measured = Figure()
    let budget = MemoryBudget(limit: 1600, measuredBy: { measured.value.load(ordering: .relaxed) })
    var merging = budget.reserve(1000, for: .merging)
    let removal = try #require(budget.reserve(100, for: .operations))
    #expect(budget.reserve(500, for: .merging) == nil && budget.reserve(101, for: .sealing) != nil)
    #expect(merging?.mustYield == false, "only sessions and sequences have priority")
    measured.value.store(600, ordering: .relaxed)
    budget.refresh()
    #expect(budget.reserve(801, for: .sessions) == nil)
    #expect(merging?.mustYield == false, "it would not fit without the merge either")
    #expect(budget.reserve(1, for: .sessions) == nil)
    #expect(merging?.mustYield == true && !removal.mustYield)
    merging = nil
    #expect(budget.reserve(1, for: .sessions) != nil)
    merging = budget.reserve(100, for: .merging)
    #expect(merging?.mustYield == false)
    // The bound of what waits to be written is no lack of memory.
    measured.value.store(0, ordering: .relaxed)
    budget.refresh()
    let waiting = budget.reserve(200, for: .writes)
    #expect(waiting != nil && budget.reserve(1, for: .writes) == nil)
    #expect(merging?.mustYield == false)
    withExtendedLifetime((removal, waiting)) {}
  }

  /// Writes have a common bound, and one that alone exceeds it is admitted if no other waits.
  @Test func writesHaveAShare() throws {
    let budget = Self.budget(1600)
    var large = budget.reserve(500, for: .writes)
    #expect(large != nil && budget.reserve(1, for: .writes) == nil)
    large = nil
    let small = try #require(budget.reserve(150, for: .writes))
    #expect(budget.reserve(51, for: .writes) == nil && budget.reserve(50, for: .writes) != nil)
    withExtendedLifetime(small) {}
  }

  @Test func theLimitIsOnlyLowered() {
    let budget = Self.budget(1600)
    budget.lowerLimit(to: 3200)
    #expect(budget.limit == 1600)
    budget.lowerLimit(to: 160)
    #expect(budget.limit == 160 && !budget.fits(151, for: .sessions))
  }

  /// With any number of threads, reservations never exceed the ceiling, and all are returned.
  @Test func threadsNeverGetMoreThanThereIs() {
    let budget = Self.budget(1 << 20)
    let most = Figure()
    DispatchQueue.concurrentPerform(iterations: 8) { seed in
      var size = seed * 7919 + 1
      for _ in 0..<2000 {
        size = (size * 1103 + 12345) % 300_000
        guard let reservation = budget.reserve(size, for: .merging) else { continue }
        let reserved = budget.usage.reserved[MemoryBudget.Purpose.merging.rawValue]
        most.value.max(reserved, ordering: .relaxed)
        withExtendedLifetime(reservation) {}
      }
    }
    #expect(1...(1 << 20) / 16 * 12 ~= most.value.load(ordering: .relaxed))
    #expect(budget.usage.reserved.allSatisfy { $0 == 0 } && budget.fits(983_040, for: .sessions))
  }

  @Test func theKernelTellsWhatThisProcessHas() {
    #expect((1 << 20)..<(1 << 40) ~= anonymousBytes())
  }
}

@Suite struct ControlGroupTests {
  /// A directory with the given files.
  private static func root(_ files: [String: String]) throws -> TemporaryDirectory {
    let directory = TemporaryDirectory()
    for (path, text) in files {
      let url = URL(fileURLWithPath: directory.path + path)
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: url)
    }
    return directory
  }

  private static func limit(_ files: [String: String]) throws -> Int? {
    let directory = try root(files)
    return ControlGroup(root: directory.path).limit
  }

  @Test func theSecondVersionIsRead() throws {
    let group = "0::/a/b\n"
    #expect(
      try Self.limit([
        "/proc/self/cgroup": group, "/sys/fs/cgroup/a/b/memory.max": "max\n",
        "/sys/fs/cgroup/a/memory.max": "268435456\n",
      ]) == 256 << 20)
    #expect(
      try Self.limit([
        "/proc/self/cgroup": group, "/sys/fs/cgroup/a/b/memory.max": "1048576\n",
        "/sys/fs/cgroup/a/memory.max": "268435456\n",
      ]) == 1 << 20)
    // In a container the path may not be there, and the mount is the container's own group.
    #expect(
      try Self.limit([
        "/proc/self/cgroup": "0::/../../kubepods/x\n", "/sys/fs/cgroup/memory.max": "4096\n",
      ]) == 4096)
  }

  @Test func theFirstVersionIsRead() throws {
    let group = "9:name=systemd:/\n4:cpu,memory:/a/b:c\n0::/\n"
    let mount = "/sys/fs/cgroup/memory"
    #expect(
      try Self.limit([
        "/proc/self/cgroup": group, "\(mount)/a/b:c/memory.limit_in_bytes": "536870912\n",
        "\(mount)/memory.limit_in_bytes": "9223372036854771712\n",
      ]) == 512 << 20)
    #expect(
      try Self.limit([
        "/proc/self/cgroup": group, "\(mount)/memory.limit_in_bytes": "1048576\n",
      ]) == 1 << 20)
    #expect(
      try Self.limit([
        "/proc/self/cgroup": group, "\(mount)/memory.limit_in_bytes": "9223372036854771712\n",
      ]) == nil)
  }

  @Test func withoutGroupsNothingIsBounded() throws {
    #expect(try Self.limit([:]) == nil)
    #expect(try Self.limit(["/proc/self/cgroup": "nonsense\n5:memory\n"]) == nil)
  }

  @Test func memoryOfOthersInTheGroupIsSubtracted() throws {
    let first = try Self.root([
      "/proc/self/cgroup": "4:memory:/a\n",
      "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1000\n",
      "/sys/fs/cgroup/memory/a/memory.stat": "rss 1\ntotal_rss 300\n",
    ])
    #expect(ControlGroup(root: first.path).bytesLeft(ofTenths: 8) == 500)
    let second = try Self.root([
      "/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/memory.max": "1000\n",
      "/sys/fs/cgroup/a/memory.stat": "anon 200\nfile 700\n",
    ])
    #expect(ControlGroup(root: second.path).bytesLeft(ofTenths: 8) == 600)
  }
}
