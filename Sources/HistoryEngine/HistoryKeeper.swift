/// Receives what a history needs from other threads. It may be called under the history's lock, so it
/// only notes the request and wakes a thread.
package protocol HistoryKeeper: Sendable {
  /// Asks for sealing: a part that is not the newest may have all its sequences finished now.
  func requestSealing()

  /// Asks for a repair: an index was found damaged while it was read. The history answers nothing until
  /// it is replaced.
  func requestRepair()
}
