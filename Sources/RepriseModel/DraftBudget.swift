/// Divides a number of tokens among the drafts of a batch, so that the most probable tokens of all of them
/// are verified.
///
/// The probabilities of a draft never rise from one token to the next, and parents stand before their
/// children. The most probable tokens of a draft are therefore its first ones, and what is kept is the draft
/// that one least probability for the whole batch would have given, up to tokens of equal probability.
public enum DraftBudget {
  /// The tokens that a batch may be given.
  public static let range = 0...(1 << 20)

  /// The number of tokens to keep of each draft. Equal probabilities: the earlier draft comes first.
  ///
  /// - Complexity: O((drafts + budget) · log drafts).
  public static func shares(of budget: Int, among drafts: [Draft]) -> [Int] {
    var shares = drafts.map(\.count)
    if shares.reduce(0, +) <= budget { return shares }
    shares = [Int](repeating: 0, count: drafts.count)
    // A heap of the drafts that have a token left, the one with the most probable next token first.
    var heap = drafts.indices.filter { !drafts[$0].isEmpty }
    func isBefore(_ one: Int, _ other: Int) -> Bool {
      let (first, second) = (drafts[one].probs[shares[one]], drafts[other].probs[shares[other]])
      return first == second ? one < other : first > second
    }
    func sink(_ start: Int) {
      var place = start
      while true {
        var first = place
        for child in [2 * place + 1, 2 * place + 2]
        where child < heap.count && isBefore(heap[child], heap[first]) { first = child }
        if first == place { return }
        heap.swapAt(place, first)
        place = first
      }
    }
    for place in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sink(place) }
    for _ in 0..<budget {
      shares[heap[0]] += 1
      if shares[heap[0]] == drafts[heap[0]].count {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
      }
      sink(0)
    }
    return shares
  }
}
