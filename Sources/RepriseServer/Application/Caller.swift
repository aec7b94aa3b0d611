import CorpusStore
import HistoryEngine
import RepriseModel
import WireProtocol

/// A connection from the point of view of calls: its principal, and buffers that are used again.
package struct Caller {
  /// nil until an access token was presented, if one is needed.
  var principal: Principal?
  let owner: SessionOwner
  /// The origin of the connection, for the log.
  var peer = ""

  var scratch = DraftScratch()
  var draft = Draft()
  /// The counts since they were last added to the service's metrics.
  var tally = Tally()

  private let answerBytesMax: Int

  init(_ principal: Principal?, _ limits: Limits) {
    self.principal = principal
    owner = SessionOwner(limits)
    answerBytesMax = limits.answerBytesMax
  }

  /// Refuses to build an answer beyond the bound.
  func refuseBeyondLimit(answerBytes: Int) throws(WireError) {
    if answerBytes > answerBytesMax {
      throw .limit(.answerBytes, max: answerBytesMax, got: answerBytes, "the answer")
    }
  }
}
