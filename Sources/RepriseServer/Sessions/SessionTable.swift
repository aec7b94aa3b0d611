import Concurrency
import CorpusStore
import HistoryEngine
import NIOCore
import RepriseModel
import Synchronization
import WireProtocol

/// One holder's open sessions by name, and their leases.
final class SessionTable: Sendable {
  private struct Entry {
    let session: DecodingSession
    let leaseSeconds: Int
    let owner: SessionOwner
    /// True if it ends with its owner's connection.
    let isOwned: Bool
    var ends: NIODeadline
    /// Tokens of prompt and output that were taken from the allowances.
    var tokens: Int

    init(_ session: DecodingSession, leaseSeconds: Int, _ owner: SessionOwner, isOwned: Bool) {
      self.session = session
      self.leaseSeconds = leaseSeconds
      self.owner = owner
      self.isOwned = isOwned
      tokens = session.promptTokens
      ends = .now() + .seconds(Int64(leaseSeconds))
    }
  }

  private struct State {
    var open: [String: Entry] = [:]
    /// Names of sessions that are being opened: taken, but without a session yet.
    var opening: Set<String> = []
    var named = 0
  }

  private let state = Locked(State(), rank: .sessionTable)
  /// The allowance of all tables together.
  private let allowance: SessionAllowance
  private let parked: ParkedSessions

  init(_ allowance: SessionAllowance, _ parked: ParkedSessions) {
    self.allowance = allowance
    self.parked = parked
  }

  /// A reserved name for a session to be opened, and room for its prompt.
  struct Reservation {
    let name: String
    let promptTokens: Int
    let owner: SessionOwner
    /// True if the table chose the name.
    let isOwned: Bool
  }

  /// Reserves a name for a session to be opened: the caller's, or a new one.
  func reserve(
    _ name: String?, promptTokens: Int, for owner: SessionOwner
  ) throws(WireError) -> Reservation {
    try take(sessions: 1, tokens: promptTokens, for: owner)
    let chosen: String? = state.withLock { state in
      func isTaken(_ name: String) -> Bool {
        state.open[name] != nil || state.opening.contains(name)
      }
      var chosen = name ?? ""
      if name == nil {
        repeat {
          state.named += 1
          chosen = "s\(state.named)"
        } while isTaken(chosen)
      } else if isTaken(chosen) {
        return nil
      }
      state.opening.insert(chosen)
      return chosen
    }
    guard let chosen else {
      give(sessions: 1, tokens: promptTokens, for: owner)
      throw WireError(
        .conflict,
        "session \"\((name ?? "").excerpt)\" is open already; close it, or choose another name",
        ["id": .text(name ?? "")])
    }
    return Reservation(
      name: chosen, promptTokens: promptTokens, owner: owner, isOwned: name == nil)
  }

  /// Returns a reservation.
  func cancel(_ reservation: Reservation) {
    state.withLock { _ = $0.opening.remove(reservation.name) }
    give(sessions: 1, tokens: reservation.promptTokens, for: reservation.owner)
  }

  /// Adds a session under its reserved name, unless its corpus was dropped in the meantime, because
  /// nothing would remove the session again. Returns true if it was added.
  func add(_ session: DecodingSession, _ reservation: Reservation, leaseSeconds: Int) -> Bool {
    let isAdded = state.withLock { state in
      // Checked under the lock: the corpus is closed before its sessions are removed.
      if session.history.isClosed { return false }
      state.opening.remove(reservation.name)
      state.open[reservation.name] = Entry(
        session, leaseSeconds: leaseSeconds, reservation.owner, isOwned: reservation.isOwned)
      session.history.countSession(1)
      return true
    }
    if !isAdded { cancel(reservation) }
    return isAdded
  }

  /// Finds an open session, takes room for its additional tokens, and renews its lease.
  func use(_ name: String, adding tokens: Int, now: NIODeadline) throws(WireError)
    -> DecodingSession
  {
    try state.withLock { (state) throws(WireError) in
      // The lease is renewed with the same look-up that finds the session.
      guard let place = state.open.index(forKey: name) else { throw .sessionNotFound(name) }
      let entry = state.open[place].value
      if tokens > 0 {
        try take(sessions: 0, tokens: tokens, for: entry.owner)
        state.open.values[place].tokens += tokens
      }
      state.open.values[place].ends = now + .seconds(Int64(entry.leaseSeconds))
      return entry.session
    }
  }

  /// An open session, whose lease is not renewed.
  func session(_ name: String) -> DecodingSession? {
    state.withLock { $0.open[name]?.session }
  }

  private func take(
    sessions: Int, tokens: Int, for owner: SessionOwner
  ) throws(WireError) {
    try owner.allowance.take(sessions: sessions, tokens: tokens)
    do throws(WireError) {
      try allowance.take(sessions: sessions, tokens: tokens)
    } catch {
      owner.allowance.give(sessions: sessions, tokens: tokens)
      throw error
    }
  }

  private func give(sessions: Int, tokens: Int, for owner: SessionOwner) {
    owner.allowance.give(sessions: sessions, tokens: tokens)
    allowance.give(sessions: sessions, tokens: tokens)
  }

  private func giveBack(_ entry: Entry) {
    entry.session.history.countSession(-1)
    give(sessions: 1, tokens: entry.tokens, for: entry.owner)
  }

  /// Removes a closed session from the table and keeps it for a while. Its name may belong to
  /// another one by now.
  func park(_ session: DecodingSession, _ name: String) {
    let entry = state.withLock { state in
      state.open[name]?.session === session ? state.open.removeValue(forKey: name) : nil
    }
    guard let entry else { return }
    giveBack(entry)
    parked.add(entry.session, name, tokens: entry.tokens, of: self)
  }

  /// A closed session that is still kept.
  func parked(_ name: String) -> DecodingSession? { parked.find(name, of: self) }

  /// Sessions whose lease has run out, or all sessions.
  func ended(by now: NIODeadline) -> [(name: String, session: DecodingSession)] {
    state.withLock { state in
      state.open.filter { $0.value.ends <= now }.map { ($0.key, $0.value.session) }
    }
  }

  /// Sessions that end with a connection.
  func owned(by owner: SessionOwner) -> [(name: String, session: DecodingSession)] {
    state.withLock { state in
      state.open.filter { $0.value.owner === owner && $0.value.isOwned }
        .map { ($0.key, $0.value.session) }
    }
  }

  /// Removes the sessions of a dropped corpus.
  func forget(corpus: Corpus) {
    let forgotten = state.withLock { state in
      let entries = state.open.filter { $0.value.session.history === corpus.history }
      for name in entries.keys { state.open[name] = nil }
      return entries.values
    }
    // Freed by this thread, outside of the lock: an index of a long prompt takes a millisecond.
    for entry in forgotten { giveBack(entry) }
  }
}

/// The connection that opens sessions. Sessions that it gave no name end with it.
final class SessionOwner: Sendable {
  let allowance: SessionAllowance
  private let ended = Atomic(false)

  init(_ limits: Limits) {
    allowance = .ofConnection(limits)
  }

  /// True once the connection is closed. Sessions that it still opens end at once.
  var hasEnded: Bool { ended.load(ordering: .acquiring) }
  func end() { ended.store(true, ordering: .releasing) }
}
