import Foundation
import RepriseModel
import TestSupport
import ToolSupport
import WireProtocol

/// A blocking connection of one worker. It checks that each answer has the request's id and the
/// right shape; violations are thrown.
final class Connection {
  private let connection: LineConnection
  private let tally: Tally
  private let reader = ResponseReader(lineBytesMax: 1 << 26)
  private var number: Int64

  /// No call takes this long. An answer that has not come by then never will.
  private static let patienceSeconds = 60

  typealias Answer = Result<any WireResult, WireError>

  /// Connects, and presents an access token if one is given.
  init(_ site: Site, token: String?, _ tally: Tally, number: Int64 = 1) throws {
    self.tally = tally
    self.number = number
    connection = try LineConnection(site.socket, patienceSeconds: Self.patienceSeconds)
    if let token {
      let _: Authenticated = try call(.serverAuthenticate(ServerAuthenticate(token: token)))
    }
  }

  // MARK: Calls

  /// Makes a call that must be answered with a result. If the service is busy, the call is repeated
  /// after the time that the answer gives.
  func call<Wanted: WireResult>(_ call: Call, _: Wanted.Type = Wanted.self) throws -> Wanted {
    while true {
      switch try exchange([call])[0] {
      case .success(let result as Wanted): return result
      case .success(let result):
        throw ToolError("\(call.method.name) was answered by a \(type(of: result))")
      case .failure(let error) where error.kind == .busy:
        noteExpected(error)
        guard case .number(let millis)? = error.details["retry_after_ms"] else {
          throw ToolError("busy without retry_after_ms: \(error)")
        }
        usleep(UInt32(min(1000, max(1, millis)) * 1000))
      case .failure(let error):
        throw ToolError("\(Self.text(call)) was answered \(error)")
      }
    }
  }

  /// Makes a call that must be refused with an error of this kind.
  @discardableResult
  func refusal(of call: Call, _ kind: ErrorKind) throws -> WireError {
    switch try exchange([call])[0] {
    case .failure(let error) where error.kind == kind:
      noteExpected(error)
      return error
    case .failure(let error):
      throw ToolError("\(Self.text(call)) was answered \(error), expected \(kind.rawValue)")
    case .success(let result):
      throw ToolError(
        "\(Self.text(call)) was answered \("\(result)".prefix(300)), expected \(kind.rawValue)")
    }
  }

  func noteExpected(_ error: WireError) {
    tally.note { $0.errorsExpected[error.kind.rawValue, default: 0] += 1 }
  }

  /// Sends calls without waiting between them, and returns their answers in the order of the calls.
  func exchange(_ calls: [Call]) throws -> [Answer] {
    let first = number
    number += Int64(calls.count)
    var writer = JSONWriter()
    for (place, call) in calls.enumerated() {
      Request(id: .number(first + Int64(place)), call: call).write(to: &writer)
    }
    let sent = nanoseconds()
    try send(writer.bytes)
    var answers = [Answer?](repeating: nil, count: calls.count)
    for _ in calls {
      let line = try receive()
      let received = nanoseconds()
      var wrong: String?
      // SAFETY: the bytes of an array of bytes.
      try unsafe reader.read(line.span.bytes) { id, result in
        guard case .number(let number) = id, 0..<Int64(calls.count) ~= number - first,
          answers[Int(number - first)] == nil
        else {
          wrong = "an answer under the id \(id), which waits for none"
          return
        }
        let call = calls[Int(number - first)]
        switch result {
        case .failure(let error): answers[Int(number - first)] = .failure(error)
        case .success(let object):
          guard let read = call.read(object) else {
            wrong = "\(Self.text(call)) has an answer of another shape: "
            return
          }
          answers[Int(number - first)] = .success(read)
        }
      }
      if let wrong { throw ToolError(wrong + String(decoding: line.prefix(300), as: UTF8.self)) }
      if calls.count == 1, case .sessionStep(let step) = calls[0] {
        tally.note {
          $0.steps.add(received - sent)
          $0.sessionSteps += step.steps.count
        }
      }
    }
    tally.note { for call in calls { $0.requests[call.method.rawValue] += 1 } }
    return answers.map { $0! }
  }

  private static func text(_ call: Call) -> String {
    var writer = JSONWriter()
    Request(id: nil, call: call).write(to: &writer)
    return String(decoding: writer.bytes.prefix(300), as: UTF8.self)
  }

  // MARK: Bytes

  func send(_ bytes: [UInt8]) throws {
    if !connection.send(bytes) { throw ToolError("the connection was lost while sending") }
  }

  /// Sends bytes. Returns false if the service has ended the connection, or takes longer.
  @discardableResult
  func trySending(_ bytes: [UInt8], secondsMax: Double = .infinity) -> Bool {
    connection.send(bytes, secondsMax: secondsMax)
  }

  /// The next line, without its newline.
  func receive() throws -> [UInt8] {
    guard let line = connection.receive() else {
      throw ToolError("no answer within \(Self.patienceSeconds) s, or the connection was lost")
    }
    return line
  }

  /// The next line, or nil if the connection has ended.
  func tryReceiving() -> [UInt8]? { connection.receive() }

  /// True if the service closes the connection within the time. Discards the bytes that arrive
  /// before.
  func ends(withinSeconds seconds: Int) -> Bool { connection.ends(withinSeconds: seconds) }
}

extension Call {
  /// The typed result of this call, or nil if it has another shape.
  fileprivate func read(_ result: ResultObject) -> (any WireResult)? {
    switch self {
    case .serverInfo: ServerInfo(result: result)
    case .serverAuthenticate: Authenticated(result: result)
    case .serverMetrics: ServerMetrics(result: result)
    case .clientReport: ClientReported(result: result)
    case .healthLive, .healthReady: Health(result: result)
    case .corpusCreate: CorpusDescription(result: result)
    case .corpusList: CorpusList(result: result)
    case .corpusStats, .snapshotRestore: CorpusStatistics(result: result)
    case .corpusDrop: CorpusDropped(result: result)
    case .corpusMerge: MergeReceipt(result: result)
    case .sequenceInsert: InsertReceipt(result: result)
    case .sequenceForget: ForgetReceipt(result: result)
    case .speculate(let call) where call.isBatch: DraftList(result: result)
    case .speculate: Draft(result: result)
    case .sessionOpen: SessionOpened(result: result)
    case .sessionStep: DraftList(result: result)
    case .sessionClose: RecordReceipt(result: result)
    case .snapshotCreate, .snapshotVerify: SnapshotDescription(result: result)
    case .snapshotList: SnapshotList(result: result)
    case .snapshotDelete: SnapshotDeleted(result: result)
    }
  }
}
