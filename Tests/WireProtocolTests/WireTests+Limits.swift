import Foundation
import RepriseModel
import TestSupport
import Testing
@testable import WireProtocol

/// Limits of lines, at n − 1, n and n + 1.
extension WireTests {
  @Test func operatorsLimitsAreThoseOfTheContract() {
    let named = Dictionary(
      uniqueKeysWithValues: Limit.all.map { ($0.name, Limits()[keyPath: $0.keyPath]) })
    #expect(named[.forgetIDs] == 65_536)
    #expect(named[.snapshotNameBytes] == 128)
    #expect(named[.pathBytes] == 4096)
  }

  static let smallLimits: Limits = {
    var limits = Limits()
    limits.batchRequestsMax = 2
    limits.contextTokensMax = 3
    limits.contextsMax = 2
    limits.promptTokensMax = 3
    limits.stepsMax = 2
    limits.acceptTokensMax = 3
    limits.sequencesMax = 2
    limits.sequenceTokensMax = 3
    limits.sessionNameBytesMax = 4
    limits.sequenceIDBytesMax = 4
    limits.tokenizerBytesMax = 4
    limits.forgetIDsMax = 3
    limits.snapshotNameBytesMax = 4
    limits.pathBytesMax = 4
    return limits
  }()

  @Test func limitsHoldExactly() {
    var limits = Self.smallLimits
    let step = "{\"session\":\"s\",\"accept\":[]}"
    let cases: [LimitCase] = [
      (
        "context_tokens", 3,
        { Self.params("speculate", "\"corpus\":\"c\",\"context\":\(Self.array("1", $0))") }
      ),
      (
        "contexts", 2,
        { Self.params("speculate", "\"corpus\":\"c\",\"contexts\":\(Self.array("[1]", $0))") }
      ),
      (
        "prompt_tokens", 3,
        { Self.params("session.open", "\"corpus\":\"c\",\"prompt\":\(Self.array("1", $0))") }
      ),
      ("steps", 2, { Self.params("session.step", "\"steps\":\(Self.array(step, $0))") }),
      (
        "accept_tokens", 3,
        {
          Self.params(
            "session.step", "\"steps\":[{\"session\":\"s\",\"accept\":\(Self.array("1", $0))}]")
        }
      ),
      (
        "sequences", 2,
        {
          Self.params(
            "sequence.insert",
            "\"corpus\":\"c\",\"sequences\":\(Self.array("{\"tokens\":[1]}", $0))")
        }
      ),
      (
        "sequence_tokens", 3,
        {
          Self.params(
            "sequence.insert",
            "\"corpus\":\"c\",\"sequences\":[{\"tokens\":\(Self.array("1", $0))}]")
        }
      ),
      (
        "session_name_bytes", 4,
        { Self.params("session.close", "\"session\":\"\(String(repeating: "s", count: $0))\"") }
      ),
      (
        "sequence_id_bytes", 4,
        {
          Self.params(
            "sequence.insert",
            "\"corpus\":\"c\",\"sequences\":[{\"id\":\"\(String(repeating: "i", count: $0))\","
              + "\"tokens\":[1]}]")
        }
      ),
      (
        "tokenizer_bytes", 4,
        {
          Self.params(
            "corpus.create",
            "\"corpus\":\"c\",\"tokenizer\":\"\(String(repeating: "t", count: $0))\"")
        }
      ),
    ]
    for (limit, max, line) in cases + Self.operationLimits {
      #expect(error(line(max - 1), limits) == nil, "\(limit)")
      #expect(error(line(max), limits) == nil, "\(limit)")
      let error = error(line(max + 1), limits)
      #expect(error?.kind == .limitExceeded, "\(limit)")
      #expect(error?.details["limit"] == .text(limit))
      #expect(error?.details["max"] == .number(max))
      #expect(error?.details["got"] == .number(max + 1))
    }
    let live = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"health.live\"}"
    guard case .batch(let two) = read(Self.array(live, 2), limits) else {
      Issue.record("a batch of two is read")
      return
    }
    #expect(two.count == 2)
    #expect(error(Self.array(live, 3), limits)?.kind == .limitExceeded)
    limits.lineBytesMax = live.utf8.count
    #expect(error(live, limits) == nil)
    #expect(error(live + " ", limits)?.kind == .limitExceeded)
  }

  static func array(_ element: String, _ count: Int) -> String {
    "[" + Array(repeating: element, count: count).joined(separator: ",") + "]"
  }
}
