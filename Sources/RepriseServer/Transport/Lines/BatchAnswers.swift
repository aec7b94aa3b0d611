import NIOCore
import WireProtocol

/// The answers of an array of requests, in the requests' order, which are sent as one array when the
/// last of them is ready. They are joined as they arrive, because joining a thousand at once would
/// take a quantum. Answers that wait for an earlier one stay separate.
final class BatchAnswers {
  private let count: Int
  /// The number of answers in the line so far.
  private var written = 0
  /// Answers that wait for an earlier one.
  private var early: [Int: [ByteBuffer]] = [:]
  private var line = [ByteBuffer(string: "[")]
  private var isEmpty = true
  private(set) var bytes = 0

  init(count: Int) {
    self.count = count
  }

  /// Returns the line of all answers if this is the last one and there are any.
  ///
  /// - Parameter answer: The answer in pieces; none for a notification.
  func put(_ answer: [ByteBuffer], at position: Int) -> [ByteBuffer]? {
    bytes += answer.reduce(0) { $0 + $1.readableBytes }
    early[position] = answer
    while let next = early.removeValue(forKey: written) {
      written += 1
      if next.isEmpty { continue }
      let wasEarly = written - 1 > position
      if !isEmpty { write(Self.comma, asItIs: wasEarly) }
      isEmpty = false
      for piece in next { write(piece, asItIs: wasEarly) }
    }
    if written < count || isEmpty { return nil }
    line.append(ByteBuffer(string: "]"))
    return line
  }

  private static let comma = ByteBuffer(string: ",")

  private func write(_ piece: ByteBuffer, asItIs: Bool) {
    let bytes = line[line.count - 1].readableBytes + piece.readableBytes
    if asItIs || bytes > Outbox.pieceBytes {
      line.append(piece)
    } else {
      line[line.count - 1].writeImmutableBuffer(piece)
    }
  }
}

/// Requests of one line that wait for earlier ones.
struct WaitingBatch {
  /// In reverse order, so that each is freed when it has been answered.
  private var requests: [Result<Request, BadRequest>]
  private let answers: BatchAnswers
  private var position = 0

  init(_ requests: [Result<Request, BadRequest>]) {
    self.requests = requests.reversed()
    answers = BatchAnswers(count: requests.count)
  }

  var isEmpty: Bool { requests.isEmpty }

  /// - Precondition: not empty.
  mutating func removeFirst() -> (Result<Request, BadRequest>, Ticket.Place) {
    defer { position += 1 }
    return (requests.removeLast(), (answers, position))
  }
}
