import CorpusStore
import NIOCore
import RepriseModel
import WireProtocol

/// A connection from the point of view of calls: its principal, and buffers for answers.
package struct Caller {
  /// nil until an access token was presented, if one is needed.
  var principal: Principal?
  let owner: SessionOwner
  let answerBytesMax: Int
  /// The origin of the connection, for the log.
  var peer = ""

  var scratch = DraftScratch()
  var draft = Draft()
  /// The counts since the connection's last read.
  var tally = Tally()
  /// True for a connection beyond the limit, which may make calls of operators.
  var isBeyondLimit = false
  /// True if such a connection has made another call. It is closed when that is answered.
  var wasRefused = false
  /// The end of the connection's quantum, after which others are served first.
  var quantumEnds = NIODeadline.distantFuture

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
