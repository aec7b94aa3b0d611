/// The token ids with which the outputs of a model end, such as that of an end of turn.
///
/// The ids are in one vector register, so that a look-up is one comparison and nothing is allocated.
public struct EndIDs: Equatable, Sendable {
  /// The most ids; models have one to five.
  public static let countMax = 8

  /// The ids in rising order, then −1.
  private var ids = SIMD8<Int32>(repeating: -1)
  public private(set) var count = 0

  /// No ids.
  public init() {}

  /// - Parameter ids: Token ids in any order; one that stands there twice is one id.
  /// - Returns: nil for more than `countMax` different ids, or a negative one.
  public init?(_ ids: some Sequence<Int32>) {
    for id in Set(ids).sorted() {
      if count == Self.countMax || id < 0 { return nil }
      self.ids[count] = id
      count += 1
    }
  }

  @inlinable public var isEmpty: Bool { count == 0 }

  /// The ids in rising order.
  public var list: [Int32] { (0..<count).map { ids[$0] } }

  /// - Parameter token: 0 or more.
  public func contains(_ token: Int32) -> Bool { any(ids .== token) }

  /// The number of tokens up to the first end id, which is counted too; nil if there is none.
  ///
  /// - Complexity: O(tokens), O(1) without ids.
  public func end(of tokens: Span<Int32>) -> Int? {
    if isEmpty { return nil }
    for place in tokens.indices where contains(tokens[place]) { return place + 1 }
    return nil
  }
}
