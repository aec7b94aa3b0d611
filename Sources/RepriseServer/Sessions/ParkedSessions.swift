import CLinux
import Concurrency
import CorpusStore
import HistoryEngine
import NIOCore
import Synchronization

/// Closed sessions that are kept for a while, so that a chat turn that continues one takes over its
/// index. All holders share the room; each finds only its own.
///
/// They take a bounded part of memory, are kept for a bounded time, and go first if memory is
/// short. Freed memory is returned to the system (`returnFreedMemory`).
final class ParkedSessions: Sendable {
  private struct Entry {
    let table: ObjectIdentifier
    let name: String
    let session: DecodingSession
    let tokens: Int
    let bytes: Int
    let ends: NIODeadline
  }

  private struct State {
    /// Oldest first, which is also the order in which they expire.
    var entries: [Entry] = []
    var tokens = 0
    var bytes = 0

    mutating func removeFirst() -> Entry {
      let entry = entries.removeFirst()
      tokens -= entry.tokens
      bytes -= entry.bytes
      return entry
    }
  }

  private let state = Locked(State(), rank: .parkedSessions)
  /// Frees dropped sessions: an index of a hundred thousand tokens takes a millisecond.
  private let freeing: WorkQueue
  /// Bytes that wait to be freed there.
  private let bytesToFree = Atomic(0)
  /// Bytes that were freed but may still be held by malloc.
  private let bytesFreed = Atomic(0)
  private let sessionsMax: Int
  private let tokensMax: Int
  private let secondsMax: Int64
  private let memory: MemoryBudget

  /// If more bytes wait to be freed, the dropping threads free them themselves: the freeing thread
  /// has low priority and may fall behind.
  private let bytesToFreeMax: Int
  /// The number of freed bytes from which returning them to the system is worthwhile.
  private static let bytesWorthReturning = 8 << 20
  /// The share of the memory, in sixteenths, that closed sessions may take.
  private static let share = 2

  init(
    _ options: ServiceOptions, _ memory: MemoryBudget, freeing: WorkQueue,
    bytesToFreeMax: Int = 32 << 20
  ) {
    self.freeing = freeing
    self.bytesToFreeMax = bytesToFreeMax
    self.memory = memory
    sessionsMax = options.parkedSessionsMax
    tokensMax = options.parkedTokensMax
    secondsMax = Int64(options.parkedSeconds)
  }

  /// Memory of the kept sessions, in bytes.
  var bytes: Int { state.withLock { $0.bytes } }
  var count: Int { state.withLock { $0.entries.count } }

  func add(
    _ session: DecodingSession, _ name: String, tokens: Int, of table: SessionTable,
    at now: NIODeadline = .now()
  ) {
    let bytesMax = memory.bytes(sixteenths: Self.share)
    let entry = Entry(
      table: ObjectIdentifier(table), name: name, session: session, tokens: tokens,
      bytes: session.bytes, ends: now + .seconds(secondsMax))
    free(
      state.withLock { state in
        var dropped: [Entry] = []
        // A session of a dropped corpus cannot be continued. Checked under the lock: the corpus is
        // closed before its sessions are removed.
        if session.history.isClosed { return dropped }
        state.entries.append(entry)
        state.tokens += entry.tokens
        state.bytes += entry.bytes
        while state.entries.count > sessionsMax || state.tokens > tokensMax
          || state.bytes > bytesMax
        {
          dropped.append(state.removeFirst())
        }
        return dropped
      })
  }

  /// Drops the sessions whose time is over.
  func removeExpired(at now: NIODeadline) {
    free(
      state.withLock { state in
        var dropped: [Entry] = []
        while let first = state.entries.first, first.ends <= now {
          dropped.append(state.removeFirst())
        }
        return dropped
      })
  }

  /// Drops the oldest sessions, until this many bytes are free.
  func remove(bytes: Int) {
    free(
      state.withLock { state in
        var dropped: [Entry] = []
        var left = bytes
        while left > 0 && !state.entries.isEmpty {
          dropped.append(state.removeFirst())
          left -= dropped[dropped.count - 1].bytes
        }
        return dropped
      })
  }

  private func free(_ dropped: consuming [Entry]) {
    let bytes = dropped.reduce(0) { $0 + $1.bytes }
    if bytes == 0 { return }
    let waiting = bytesToFree.add(bytes, ordering: .relaxed).newValue
    if waiting > bytesToFreeMax {
      dropped = []
      didFree(bytes)
      return
    }
    let box = Locked(consume dropped)
    freeing.run { [self] in
      // Not under the lock: the last session over a corpus that was dropped frees that as well.
      _ = box.withLock { entries in
        defer { entries = [] }
        return entries
      }
      didFree(bytes)
    } dropped: { [self] in
      didFree(bytes)
    }
  }

  private func didFree(_ bytes: Int) {
    bytesToFree.subtract(bytes, ordering: .relaxed)
    bytesFreed.add(bytes, ordering: .relaxed)
  }

  /// Returns freed memory to the system, if it is much. Not to be called on an event loop.
  func returnFreedMemory() {
    if bytesFreed.load(ordering: .relaxed) < Self.bytesWorthReturning { return }
    bytesFreed.store(0, ordering: .relaxed)
    return_freed_memory()
  }

  func find(_ name: String, of table: SessionTable) -> DecodingSession? {
    state.withLock { state in
      state.entries.last { $0.name == name && $0.table == ObjectIdentifier(table) }?.session
    }
  }

  func forget(corpus: Corpus) {
    state.withLock { state in
      state.entries.removeAll { $0.session.history === corpus.history }
      state.tokens = state.entries.reduce(0) { $0 + $1.tokens }
      state.bytes = state.entries.reduce(0) { $0 + $1.bytes }
    }
  }
}
