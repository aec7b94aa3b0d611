import TestSupport

/// Text like a model's: much of it repeats, some of it does not.
///
/// Each token may be followed by four others, usually by one of them. Whether a token may follow
/// another is therefore known without any history, and two corpora have no token in common.
struct Language: Sendable {
  /// Tokens are the `Self.tokens` numbers from `base` on.
  let base: Int32
  private let followers: [Int32]

  static let tokens: Int32 = 600
  private static let followersPerToken = 4

  /// - Parameter number: The number of the corpus.
  init(number: Int, seed: UInt64) {
    base = Int32(number) * 1000
    var random = SeededGenerator(seed: seed &* 7919 &+ UInt64(number))
    let base = base
    followers = (0..<Int(Self.tokens) * Self.followersPerToken).map { _ in
      base + Int32.random(in: 0..<Self.tokens, using: &random)
    }
  }

  func token(using random: inout SeededGenerator) -> Int32 {
    base + Int32.random(in: 0..<Self.tokens, using: &random)
  }

  func token(after last: Int32, using random: inout SeededGenerator) -> Int32 {
    let choice =
      switch Int.random(in: 0..<100, using: &random) {
      case 0..<84: 0
      case 84..<94: 1
      case 94..<98: 2
      default: 3
      }
    return followers[Int(last - base) * Self.followersPerToken + choice]
  }

  /// Continues from a text's last token, or begins anywhere.
  func text(
    after last: Int32? = nil, count: Int, using random: inout SeededGenerator
  ) -> [Int32] {
    var text: [Int32] = []
    text.reserveCapacity(count)
    var last = last
    while text.count < count {
      let next = last.map { token(after: $0, using: &random) } ?? token(using: &random)
      text.append(next)
      last = next
    }
    return text
  }

  func follows(_ token: Int32, after last: Int32) -> Bool {
    let place = Int(last - base)
    guard 0..<Int(Self.tokens) ~= place else { return false }
    return followers[(place * Self.followersPerToken)..<((place + 1) * Self.followersPerToken)]
      .contains(token)
  }
}
