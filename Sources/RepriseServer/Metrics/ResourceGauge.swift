import CorpusStore
import Foundation
import HistoryEngine
import RepriseModel
import Synchronization
import WireProtocol

/// The service's view of memory and disk. No call waits: disk usage is read once a second, and
/// memory comes from the process's budget.
final class ResourceGauge: Sendable {
  private let store: Store
  private let storeBytesMax: Int
  private let disk = Atomic(0)

  init(_ store: Store, _ limits: Limits) {
    self.store = store
    storeBytesMax = limits.storeBytesMax
    store.memory.lowerLimit(to: limits.memoryBytesMax)
    look()
  }

  var memory: MemoryBudget { store.memory }

  /// Bytes that all corpora take on disk.
  var diskBytes: Int { disk.load(ordering: .relaxed) }

  /// Reads the disk usage, and has growing indexes sealed if memory is short.
  func look() {
    disk.store(store.corpora().reduce(0) { $0 + $1.bytesOnDisk }, ordering: .relaxed)
    store.relieveMemory()
  }

  /// Reserves memory for a session to be opened: it is refused before existing sessions become
  /// slow.
  func reserveMemory(
    promptTokens: Int
  ) throws(WireError) -> MemoryBudget.Reservation {
    try reserveMemory(DecodingSession.bytesToOpen(promptTokens: promptTokens))
  }

  /// Reserves memory for the outputs of a session's group.
  func reserveMemory(groupTokens: Int) throws(WireError) -> MemoryBudget.Reservation {
    try reserveMemory(DecodingSession.bytesToOpen(groupTokens: groupTokens))
  }

  private func reserveMemory(_ bytes: Int) throws(WireError) -> MemoryBudget.Reservation {
    guard let reservation = memory.reserve(bytes, for: .sessions) else {
      throw memoryIsShort(for: bytes, "the session")
    }
    return reservation
  }

  /// True if there is memory for more bytes of a line.
  var hasMemoryForLines: Bool { memory.fits(0, for: .sessions) }

  /// The error for a request that does not fit into memory.
  func memoryIsShort(for bytes: Int, _ what: String) -> WireError {
    let usage = memory.usage
    return WireError(
      .busy,
      "\(what) takes \(bytes) bytes of memory; the service uses \(usage.measured) and work under way, "
        + "such as merging, has reserved \(usage.expected), where memory_bytes allows "
        + "\(memory.limit); send again later, and close sessions or allow more memory if this lasts",
      ["retry_after_ms": .number(1000)])
  }

  /// Refuses more history if the disk usage has reached its bound.
  func refuseInserts() throws(WireError) {
    if diskBytes >= storeBytesMax {
      throw WireError(
        .storageFull,
        "all corpora together take \(diskBytes) bytes, where store_bytes allows "
          + "\(storeBytesMax); forget or drop some, bound what is kept, or allow more",
        ["used_bytes": .number(diskBytes), "max_bytes": .number(storeBytesMax)])
    }
  }
}
