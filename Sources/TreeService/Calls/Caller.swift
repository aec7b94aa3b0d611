import CorpusStore
import Drafting

/// One connection, as calls see it: who calls, and buffers for answering.
package struct Caller {
  /// nil until an access token was presented, where one is needed.
  var principal: Principal?
  let owner: SessionOwner
  /// Where the connection comes from, for the log.
  var peer = ""

  var scratch = DraftScratch()
  var draft = Draft()
  /// What was counted since the connection's last read.
  var tally = Tally()

  init(_ principal: Principal?, _ owner: SessionOwner) {
    self.principal = principal
    self.owner = owner
  }
}
