import CorpusStore
import Foundation
import Synchronization
import WireProtocol

/// What the service uses of memory and disk, looked at once a second, so that no call waits for it.
final class ResourceGauge: Sendable {
  private let store: Store
  private let memory = Atomic(0)
  private let disk = Atomic(0)

  init(_ store: Store) {
    self.store = store
    look()
  }

  /// Bytes of memory that no file backs.
  var memoryBytes: Int { memory.load(ordering: .relaxed) }
  /// Bytes that all corpora take on disk.
  var diskBytes: Int { disk.load(ordering: .relaxed) }

  func look() {
    memory.store(Self.anonymousBytes(), ordering: .relaxed)
    disk.store(store.corpora().reduce(0) { $0 + $1.bytesOnDisk }, ordering: .relaxed)
  }

  /// New sessions and long lines are refused before what is there gets slow.
  func refuseMemory(_ limits: Limits) throws(WireError) {
    if memoryBytes > limits.memoryBytesMax {
      throw WireError(
        .busy,
        "the service uses \(memoryBytes) bytes of memory, where memory_bytes allows "
          + "\(limits.memoryBytesMax); send again when sessions have been closed",
        ["retry_after_ms": .number(1000)])
    }
  }

  func refuseInserts(_ limits: Limits) throws(WireError) {
    if diskBytes >= limits.storeBytesMax {
      throw WireError(
        .storageFull,
        "all corpora together take \(diskBytes) bytes, where store_bytes allows "
          + "\(limits.storeBytesMax); forget or drop something, bound what is kept, or allow more",
        ["used_bytes": .number(diskBytes), "max_bytes": .number(limits.storeBytesMax)])
    }
  }

  private static func anonymousBytes() -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    for line in status.split(separator: "\n") where line.hasPrefix("RssAnon:") {
      return (Int(line.filter(\.isNumber)) ?? 0) * 1024
    }
    return 0
  }
}
