import Foundation
import TestSupport
import Testing

/// Files of any bytes: a store or a snapshot with some bytes changed is refused, or repaired with a
/// report, or unchanged in content. Nothing traps, hangs, or answers from bytes that were never
/// written.
@Suite struct MutationTests {
  /// Changes some bytes, in one of the ways that disks, cables and people cause.
  private func mutate(_ bytes: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
    var bytes = bytes
    func place() -> Int { Int.random(in: 0..<bytes.count, using: &generator) }
    switch Int.random(in: 0..<10, using: &generator) {
    case 0..<4: bytes[place()] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
    case 4..<6:
      for _ in 0..<Int.random(in: 2...8, using: &generator) {
        bytes[place()] = UInt8.random(in: 0...255, using: &generator)
      }
    case 6:
      // A number set to an extreme.
      let start = min(place() & ~7, bytes.count - 8)
      let extremes: [UInt64] = [0, 1, .max, .max >> 1, 1 << 32, UInt64(UInt32.max)]
      let extreme = extremes.randomElement(using: &generator) ?? 0
      for byte in 0..<8 { bytes[start + byte] = UInt8(truncatingIfNeeded: extreme >> (8 * byte)) }
    case 7:
      // A page in the place of another, as it would be after a write to the wrong address.
      let pages = bytes.count / 4096
      let (from, to) = (
        Int.random(in: 0..<pages, using: &generator), Int.random(in: 0..<pages, using: &generator)
      )
      bytes.replaceSubrange(
        (to * 4096)..<((to + 1) * 4096), with: bytes[(from * 4096)..<((from + 1) * 4096)])
    case 8:
      // A sector that was never written.
      let start = place() & ~511
      for byte in start..<min(start + 512, bytes.count) { bytes[byte] = 0 }
    default: bytes.removeLast(bytes.count - place())
    }
    return bytes
  }

  @Test(arguments: DamagedStore.Kind.allCases)
  func mutatedFilesAreRefusedOrRepaired(kind: DamagedStore.Kind) throws {
    let store = try DamagedStore(kind)
    let seeds = Effort.seeds(1000)
    for seed in seeds {
      var generator = SeededGenerator(seed: seed)
      store.open(mutate(store.bytes, &generator), "seed \(seed)", &generator)
    }
    print("\(seeds.count) random mutations of a \(store.summary)")
    #expect(store.outcomes[.refused] != nil)
    #expect((store.outcomes[.repaired] != nil) == (kind == .corpus))
  }
}
