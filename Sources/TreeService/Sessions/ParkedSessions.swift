import CorpusStore
import NIOConcurrencyHelpers

/// Closed sessions that are kept for a while, so that a turn that goes on from one takes over its
/// index. All holders share the room; each finds its own alone.
final class ParkedSessions: Sendable {
  private struct Entry {
    let table: ObjectIdentifier
    let name: String
    let session: DecodingSession
    let tokens: Int
  }

  private struct State {
    /// Oldest first.
    var entries: [Entry] = []
    var tokens = 0
  }

  private let state = NIOLockedValueBox(State())
  /// Frees those that are kept no longer: an index of a hundred thousand tokens takes a millisecond.
  private let freeing: WorkQueue
  private let sessionsMax: Int
  private let tokensMax: Int

  init(_ options: ServiceOptions, freeing: WorkQueue) {
    self.freeing = freeing
    sessionsMax = options.parkedSessionsMax
    tokensMax = options.parkedTokensMax
  }

  func add(_ session: DecodingSession, _ name: String, tokens: Int, of table: SessionTable) {
    let dropped = state.withLockedValue { state in
      var dropped: [Entry] = []
      // No session of a corpus that was dropped can go on. Looked at under the lock: the corpus is closed
      // before its sessions are forgotten.
      if session.corpus.isClosed { return dropped }
      state.entries.append(
        Entry(table: ObjectIdentifier(table), name: name, session: session, tokens: tokens))
      state.tokens += tokens
      while state.entries.count > sessionsMax || state.tokens > tokensMax {
        dropped.append(state.entries.removeFirst())
        state.tokens -= dropped[dropped.count - 1].tokens
      }
      return dropped
    }
    if dropped.isEmpty { return }
    let box = NIOLockedValueBox(consume dropped)
    freeing.run { box.withLockedValue { $0 = [] } }
  }

  func find(_ name: String, of table: SessionTable) -> DecodingSession? {
    state.withLockedValue { state in
      state.entries.last { $0.name == name && $0.table == ObjectIdentifier(table) }?.session
    }
  }

  func forget(corpus: Corpus) {
    state.withLockedValue { state in
      state.entries.removeAll { $0.session.corpus === corpus }
      state.tokens = state.entries.reduce(0) { $0 + $1.tokens }
    }
  }

  /// Lets go of all of them.
  func removeAll() { state.withLockedValue { $0 = State() } }
}
