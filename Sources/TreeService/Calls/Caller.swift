import CorpusStore
import Drafting
import NIOCore
import WireProtocol

/// One connection, as calls see it: who calls, and buffers for answering.
package struct Caller {
  /// nil until an access token was presented, where one is needed.
  var principal: Principal?
  let owner: SessionOwner
  let answerBytesMax: Int
  /// Where the connection comes from, for the log.
  var peer = ""

  var scratch = DraftScratch()
  var draft = Draft()
  /// What was counted since the connection's last read.
  var tally = Tally()
  /// Whether it is a connection beyond the limit, for calls of operators.
  var isBeyondLimit = false
  /// Whether such a connection has made another call. It is closed when that is answered.
  var wasRefused = false
  /// When others are to be served before this one again.
  var turnEnds = NIODeadline.distantFuture

  init(_ principal: Principal?, _ limits: Limits) {
    self.principal = principal
    owner = SessionOwner(limits)
    answerBytesMax = limits.answerBytesMax
  }

  /// Refuses to make an answer longer than it may be.
  func refuseBeyondLimit(answerBytes: Int) throws(WireError) {
    if answerBytes > answerBytesMax {
      throw .limit("answer_bytes", max: answerBytesMax, got: answerBytes, "the answer")
    }
  }
}
