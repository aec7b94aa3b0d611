import Foundation
import StoreErrors
import TestSupport
import Testing

@testable import CorpusStore

/// Every byte of a small store and of a small snapshot is changed, and each file is cut short
/// everywhere.
///
/// Unused bytes in them are zero. One bit is changed in each byte that is not zero, in the seven
/// after it, which may belong to the same number, and in every 127th of the others. In the first
/// two pages, which locate the newest state of the file, each bit of every byte that is not zero is
/// changed. A full run changes each bit of all bytes in use, and one bit of each other byte.
@Suite struct EveryByteTests {
  private static let metaBytes = 2 * 4096

  /// Calls `body` with the result of each change.
  private func forEachChange(
    of bytes: [UInt8], isComplete: Bool, _ body: (_ changed: [UInt8], _ label: String) -> Void
  ) {
    var changed = bytes
    for offset in bytes.indices {
      let isInUse = bytes[max(0, offset - 7)...offset].contains { $0 != 0 }
      guard isComplete || isInUse || offset % 127 == 0 else { continue }
      // In a number of eight bytes, another bit of each; in the next number, others.
      let bit = (offset + offset / 8) % 8
      let takesAll = isInUse && (isComplete || bytes[offset] != 0 && offset < Self.metaBytes)
      for bit in takesAll ? 0..<8 : bit..<(bit + 1) {
        changed[offset] ^= 1 << bit
        body(changed, "byte \(offset) of \(bytes.count), bit \(bit)")
        changed[offset] = bytes[offset]
      }
    }
  }

  @Test(arguments: DamagedStore.Kind.allCases)
  func everyChangedByteIsRefusedOrRepaired(kind: DamagedStore.Kind) throws {
    let store = try DamagedStore(kind, isMinimal: true)
    var generator = SeededGenerator(seed: 1)
    forEachChange(of: store.bytes, isComplete: Effort.isFull) { changed, label in
      store.open(changed, label, &generator)
    }
    print("single bytes changed of a \(store.summary)")
    #expect(store.outcomes[.refused] != nil)
    #expect((store.outcomes[.repaired] != nil) == (kind == .corpus))
  }

  /// Cuts at every sector, and a byte before it.
  @Test(arguments: DamagedStore.Kind.allCases)
  func everyCutIsRefusedOrTookNothing(kind: DamagedStore.Kind) throws {
    let store = try DamagedStore(kind, isMinimal: true)
    var generator = SeededGenerator(seed: 1)
    for sector in stride(from: 512, through: store.bytes.count, by: 512) {
      for bytes in [sector - 512, sector - 1] {
        store.open(Array(store.bytes[..<bytes]), "cut to \(bytes) bytes", &generator)
      }
    }
    print("cuts of a \(store.summary)")
    #expect(store.outcomes[.refused] != nil && store.outcomes[.repaired] == nil)
  }

  /// The file that marks the directory as a store is so small that every change is tested.
  @Test func everyChangeOfTheFormatFileIsRefused() throws {
    let directory = TemporaryDirectory()
    try Store(path: directory.path).close()
    let file = URL(fileURLWithPath: directory.path + "/format")
    let bytes = [UInt8](try Data(contentsOf: file))
    func open(_ changed: [UInt8], _ label: String) {
      #expect(throws: Never.self) { try Data(changed).write(to: file) }
      for use in [
        { _ = try Store(path: directory.path) },
        { _ = try StoreInspection.check(path: directory.path) },
      ] {
        let error = #expect(throws: StoreError.self, "\(label)") { try use() }
        #expect(error?.description.contains(directory.path) == true, "\(label)")
      }
    }
    forEachChange(of: bytes, isComplete: true, open)
    for count in bytes.indices { open(Array(bytes[..<count]), "cut to \(count) bytes") }
  }
}
