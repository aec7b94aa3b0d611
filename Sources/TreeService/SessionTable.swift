import CorpusStore
import NIOConcurrencyHelpers
import NIOCore
import WireProtocol

/// All open sessions by name, their leases, and the closed ones whose index may be taken over.
final class SessionTable: Sendable {
  /// An object, so that a step renews the lease where it finds the session, with one look-up.
  private final class Entry: @unchecked Sendable {
    // @unchecked Sendable: `ends` is guarded by the table's lock.
    let session: DecodingSession
    let leaseSeconds: Int
    var ends: NIODeadline

    init(_ session: DecodingSession, leaseSeconds: Int) {
      self.session = session
      self.leaseSeconds = leaseSeconds
      ends = .now() + .seconds(Int64(leaseSeconds))
    }
  }

  private struct State {
    var open: [String: Entry] = [:]
    /// Names of sessions that are being opened: taken, but without a session yet.
    var opening: Set<String> = []
    /// Oldest first.
    var parked: [(name: String, session: DecodingSession, tokens: Int)] = []
    var parkedTokens = 0
    var named = 0
  }

  enum Refusal: Error {
    case taken
    case full
  }

  private let state = NIOLockedValueBox(State())
  private let options: ServiceOptions

  init(_ options: ServiceOptions) {
    self.options = options
  }

  /// Takes a name for a session that is to be opened: the caller's, or a new one.
  func reserve(_ name: String?) throws(Refusal) -> String {
    let result: Result<String, Refusal> = state.withLockedValue { state in
      if state.open.count + state.opening.count >= options.limits.sessionsMax {
        return .failure(.full)
      }
      var chosen = name ?? ""
      if name == nil {
        repeat {
          state.named += 1
          chosen = "s\(state.named)"
        } while state.open[chosen] != nil || state.opening.contains(chosen)
      } else if state.open[chosen] != nil || state.opening.contains(chosen) {
        return .failure(.taken)
      }
      state.opening.insert(chosen)
      return .success(chosen)
    }
    return try result.get()
  }

  func add(_ session: DecodingSession, _ name: String, leaseSeconds: Int) {
    session.corpus.countSession(1)
    state.withLockedValue { state in
      state.opening.remove(name)
      state.open[name] = Entry(session, leaseSeconds: leaseSeconds)
    }
  }

  /// Finds an open session and renews its lease.
  func use(_ name: String, now: NIODeadline) -> DecodingSession? {
    state.withLockedValue { state in
      guard let entry = state.open[name] else { return nil }
      entry.ends = now + .seconds(Int64(entry.leaseSeconds))
      return entry.session
    }
  }

  /// Takes a closed session out of the table and keeps it for a while.
  func park(_ name: String) {
    state.withLockedValue { state in
      guard let session = state.open.removeValue(forKey: name)?.session else { return }
      session.corpus.countSession(-1)
      let tokens = session.promptTokens + session.outputTokens
      state.parked.append((name, session, tokens))
      state.parkedTokens += tokens
      while state.parked.count > options.parkedSessionsMax
        || state.parkedTokens > options.parkedTokensMax
      {
        state.parkedTokens -= state.parked.removeFirst().tokens
      }
    }
  }

  /// A closed session that is still kept.
  func parked(_ name: String) -> DecodingSession? {
    state.withLockedValue { state in state.parked.last { $0.name == name }?.session }
  }

  /// Sessions whose lease has run out, or all of them.
  func ended(by now: NIODeadline) -> [(name: String, session: DecodingSession)] {
    state.withLockedValue { state in
      state.open.filter { $0.value.ends <= now }.map { ($0.key, $0.value.session) }
    }
  }

  /// Forgets the sessions of a corpus that was dropped.
  func forget(corpus: Corpus) {
    state.withLockedValue { state in
      state.open = state.open.filter { $0.value.session.corpus !== corpus }
      state.parked.removeAll { $0.session.corpus === corpus }
      state.parkedTokens = state.parked.reduce(0) { $0 + $1.tokens }
    }
  }
}
