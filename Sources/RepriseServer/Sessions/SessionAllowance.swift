import RepriseModel
import Synchronization
import WireProtocol

/// The number of sessions that may be open, and of tokens in their prompts and outputs: in all, or
/// for one connection.
final class SessionAllowance: Sendable {
  private let sessionsLimit: (name: LimitName, max: Int)
  private let tokensLimit: (name: LimitName, max: Int)
  private let openSessions = Atomic(0)
  private let openTokens = Atomic(0)

  private init(sessions: (name: LimitName, max: Int), tokens: (name: LimitName, max: Int)) {
    sessionsLimit = sessions
    tokensLimit = tokens
  }

  static func ofService(_ limits: Limits) -> SessionAllowance {
    SessionAllowance(
      sessions: (.sessions, limits.sessionsMax),
      tokens: (.sessionTokens, limits.sessionTokensMax))
  }

  static func ofConnection(_ limits: Limits) -> SessionAllowance {
    SessionAllowance(
      sessions: (.connectionSessions, limits.connectionSessionsMax),
      tokens: (.connectionSessionTokens, limits.connectionSessionTokensMax))
  }

  var sessions: Int { openSessions.load(ordering: .relaxed) }
  var tokens: Int { openTokens.load(ordering: .relaxed) }

  /// Takes all of the amount or nothing.
  func take(sessions: Int, tokens: Int) throws(WireError) {
    let newSessions = openSessions.add(sessions, ordering: .relaxed).newValue
    let newTokens = openTokens.add(tokens, ordering: .relaxed).newValue
    if sessions > 0 && newSessions > sessionsLimit.max {
      give(sessions: sessions, tokens: tokens)
      throw .limit(
        sessionsLimit.name, max: sessionsLimit.max, got: newSessions, "the number of open sessions",
        remedy: "close some, or allow more")
    }
    if newTokens > tokensLimit.max {
      give(sessions: sessions, tokens: tokens)
      throw .limit(
        tokensLimit.name, max: tokensLimit.max, got: newTokens, "the text of open sessions",
        remedy: "close some, or allow more")
    }
  }

  func give(sessions: Int, tokens: Int) {
    openSessions.subtract(sessions, ordering: .relaxed)
    openTokens.subtract(tokens, ordering: .relaxed)
  }
}
