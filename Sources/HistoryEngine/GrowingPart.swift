import RepriseModel
import SuffixIndex

/// A growing index of the shared history (a memtable, in terms of LSM trees), and the sequences in
/// it.
///
/// A sequence is completely in one part, so that no pattern is cut: a session that began in a part
/// continues in it although newer parts exist, and the part is sealed when all of its sequences are
/// finished.
package final class GrowingPart {
  /// The name of a part outside of the history's lock, as long as it is listed.
  package typealias ID = ObjectIdentifier
  var id: ID { ID(self) }

  let index: GrowingIndex
  /// Distinguishes cursors into this part from those into another, and from those that were made
  /// before a sequence was removed. `LiveHistory` gives it.
  var identity = 0
  /// Finished sequences, in the order in which they finished.
  package private(set) var finished: [FinishedSequence] = []
  package private(set) var finishedSize = HistorySize()
  /// The lowest and the highest of their order numbers.
  private(set) var orders: ClosedRange<UInt64>?
  /// Outputs that grow here, by their sessions, until these end or move, or the history is closed.
  var open: [ObjectIdentifier: OpenOutput] = [:]

  /// Memory of a growing index for each token: an upper bound on real output.
  package static let bytesPerToken = 80

  package init(depth: Int, tokensExpected: Int) {
    index = GrowingIndex(depth: depth, tokensExpected: tokensExpected)
  }

  /// Adds a whole sequence.
  ///
  /// - Complexity: 0.3 µs a token.
  package func add(_ tokens: Span<Int32>, as sequence: FinishedSequence) {
    var tail = GrowingIndex.Tail()
    index.extend(&tail, by: tokens)
    finish(sequence)
  }

  /// Lists a sequence whose tokens are in the index.
  func finish(_ sequence: FinishedSequence) {
    finished.append(sequence)
    finishedSize += sequence.size
    extendOrders(by: sequence.order)
  }

  private func extendOrders(by order: UInt64) {
    orders = min(orders?.lowerBound ?? order, order)...max(orders?.upperBound ?? order, order)
  }

  /// Removes a sequence from the list of finished ones. Returns true if it was listed.
  func unlist(_ order: UInt64) -> Bool {
    guard let place = finished.firstIndex(where: { $0.order == order }) else { return false }
    let sequence = finished.remove(at: place)
    finishedSize = finishedSize - sequence.size
    if order == orders?.lowerBound || order == orders?.upperBound {
      orders = nil
      for sequence in finished { extendOrders(by: sequence.order) }
    }
    return true
  }
}

/// The lead-in and the output of an open session, as far as a growing index holds them.
struct OpenOutput {
  let session: DecodingSession
  /// Tokens of this text in the index, counted from the first: fewer than the text has if the
  /// history could not be read.
  private(set) var tokens = 0
  private var tail = GrowingIndex.Tail()

  init(session: DecodingSession) {
    self.session = session
  }

  mutating func extend(in index: GrowingIndex, to text: Span<Int32>) {
    index.extend(&tail, by: text.extracting(tokens..<text.count))
    tokens = text.count
  }
}
