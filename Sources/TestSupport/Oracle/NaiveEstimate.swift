import RepriseModel

/// The policy `estimate` as it is written down (docs/internals/drafting.md), over a dictionary of
/// all n-grams.
package struct NaiveEstimate {
  /// A history, and the weight of its sure runs.
  package struct History {
    let counted: any CountedHistory
    let sureWeight: Double
    let source: Draft.Source

    package static func local(_ counted: any CountedHistory) -> Self {
      Self(counted: counted, sureWeight: 1.5, source: .local)
    }

    package static func group(_ counted: any CountedHistory) -> Self {
      Self(counted: counted, sureWeight: 0.5, source: .group)
    }

    package static func shared(_ counted: any CountedHistory) -> Self {
      Self(counted: counted, sureWeight: 1, source: .shared)
    }
  }

  private let options: DraftOptions

  package init(_ options: DraftOptions) { self.options = options }

  private struct Observation {
    var history: Int
    var longest: Int
    var shortest: Int
  }

  private struct Guess {
    var token: Int32
    var probability: Double
    var count: Int
  }

  package func draft(from histories: [History], context: [Int32]) -> NaiveDraft {
    var draft = NaiveDraft()
    if options.maxTokens == 0 { return draft }
    struct Possible {
      var guess: Guess
      var parent: Int
      var context: [Int32]
    }
    var possible: [Possible] = []
    func consider(_ context: [Int32], below parent: Int, _ probability: Double) {
      var guesses = guesses(histories, context).filter { $0.token < options.vocabulary }
      if !options.tree {
        let best = guesses.map(\.probability).max()
        guesses = guesses.filter { $0.probability == best }.sorted { $0.token < $1.token }
        guesses = Array(guesses.prefix(1))
        possible = []
      }
      for var guess in guesses {
        guess.probability = probability * guess.probability
        if guess.probability >= max(options.minProbability, 0.001) {
          possible.append(Possible(guess: guess, parent: parent, context: context + [guess.token]))
        }
      }
    }
    consider(context, below: -1, 1)
    while draft.tokens.count < min(options.maxTokens, 256),
      let next = possible.indices.min(by: { a, b in
        let (a, b) = (possible[a], possible[b])
        if a.guess.probability != b.guess.probability {
          return a.guess.probability > b.guess.probability
        }
        return a.parent != b.parent ? a.parent < b.parent : a.guess.token < b.guess.token
      })
    {
      let chosen = possible.remove(at: next)
      draft.tokens.append(chosen.guess.token)
      draft.parents.append(Int32(chosen.parent))
      draft.probs.append(Float(chosen.guess.probability))
      draft.counts.append(chosen.guess.count)
      draft.score += chosen.guess.probability
      if options.endIDs.contains(chosen.guess.token) { continue }
      consider(chosen.context, below: draft.tokens.count - 1, chosen.guess.probability)
    }
    if !draft.tokens.isEmpty, let first = observations(histories, context).first {
      draft.matchLength = first.longest
      draft.source = histories[first.history].source
    }
    return draft
  }

  /// N(m): how often any token followed the last tokens of a context.
  private func followed(_ history: History, _ context: [Int32], _ length: Int) -> Int {
    history.counted.children(of: Array(context.suffix(length))).reduce(0) { $0 + $1.count }
  }

  /// Longest first; at equal length in the order of the histories.
  private func observations(_ histories: [History], _ context: [Int32]) -> [Observation] {
    var all: [Observation] = []
    for (number, history) in histories.enumerated() {
      var longerCount = 0
      var isInSureRun = false
      for length in stride(from: history.counted.depth - 1, through: options.minMatch, by: -1)
      where length <= context.count {
        let count = followed(history, context, length)
        if count == longerCount { continue }
        longerCount = count
        let isSure = history.counted.children(of: Array(context.suffix(length))).count == 1
        if isSure && isInSureRun {
          all[all.count - 1].shortest = length
        } else {
          all.append(Observation(history: number, longest: length, shortest: length))
        }
        isInSureRun = isSure
      }
    }
    return all.sorted {
      $0.longest != $1.longest ? $0.longest > $1.longest : $0.history < $1.history
    }
  }

  private func guesses(_ histories: [History], _ context: [Int32]) -> [Guess] {
    var guesses: [Guess] = []
    var left = 1.0
    for one in observations(histories, context) {
      let history = histories[one.history]
      let children = history.counted.children(of: Array(context.suffix(one.shortest)))
      let m = Double(one.longest)
      let first = Double(followed(history, context, one.longest))
      let last = Double(followed(history, context, one.shortest))
      let odds: Double
      if children.count == 1 {
        odds = (16 + m) * (16 + m) / 1400 * last * (last / first).squareRoot() * history.sureWeight
      } else {
        let each = last / Double(min(children.count, 8))
        odds = (each * each.squareRoot()).squareRoot() / m.squareRoot() * 0.4
      }
      let share = odds / (1 + odds)
      let each = left * share / last
      for child in children.prefix(8) where Double(child.count) >= last / 32 {
        if let known = guesses.firstIndex(where: { $0.token == child.token }) {
          guesses[known].probability += each * Double(child.count)
        } else {
          guesses.append(
            Guess(token: child.token, probability: each * Double(child.count), count: child.count))
        }
      }
      left *= 1 - share
      if left < 0.3 { break }
    }
    return guesses
  }
}
