import Access
import Concurrency
import WireProtocol

/// Identifies callers. The access file may be read again while connections are open: its new
/// content applies to them immediately.
final class AccessControl: Sendable {
  private struct State {
    var holders: [(digest: TokenDigest, principal: Principal)] = []
  }

  /// nil if no file is in use: every caller may do everything.
  let path: String?
  private let state = Locked(State(), rank: .access)
  /// The principal of callers without a token, where none is needed.
  let everybody: Principal?
  private let sessions: SessionTables

  init(path: String?, _ sessions: SessionTables) throws(AccessFile.Mistake) {
    self.path = path
    self.sessions = sessions
    everybody = path == nil ? Principal(.everything, sessions.add()) : nil
    try reload()
  }

  /// Reads the file again. If it contains a mistake, nothing changes.
  func reload() throws(AccessFile.Mistake) {
    guard let path else { return }
    let file = try AccessFile(path: path)
    state.withLock { state in
      var holders: [(digest: TokenDigest, principal: Principal)] = []
      for entry in file.entries {
        let known = state.holders.first { $0.principal.name == entry.grant.name }
        if let known, known.digest == entry.digest {
          known.principal.grant = entry.grant
          holders.append(known)
        } else {
          // Another token for the same holder finds the same sessions; the old token no longer
          // does.
          holders.append(
            (entry.digest, Principal(entry.grant, known?.principal.sessions ?? sessions.add())))
        }
      }
      for old in state.holders where !holders.contains(where: { $0.principal === old.principal }) {
        old.principal.grant = nil
      }
      state.holders = holders
    }
  }

  /// The holder of a token. Takes the same time for every unknown token.
  func holder(ofToken token: String) -> Principal? {
    let digest = TokenDigest(token: token)
    return state.withLock { state in
      var found: Principal?
      for holder in state.holders where holder.digest == digest { found = holder.principal }
      return found
    }
  }
}
