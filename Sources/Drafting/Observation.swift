import SuffixIndex

/// The tokens that followed one length of match in one history, and the weight that is given to them.
///
/// Consecutive lengths after which only one token ever came, which is then the same one, are a single
/// observation: a *sure run*.
struct Observation {
  /// The number of children that are looked at.
  static let childrenMax = 8
  /// A child is looked at if it has one of 32 followed occurrences, or more. Rarer ones add next to
  /// nothing, and there may be thousands of them.
  static let rarityMax = 32

  /// Tokens of the match; in a sure run those of its longest.
  var length = 0
  /// Followed occurrences of the match; in a sure run those of its longest.
  var longestCount = 0
  /// Followed occurrences of the match; in a sure run those of its shortest, which are the most.
  var count = 0
  /// The number of different next tokens, counted up to `Followers.kindsMax`.
  var kinds = 0
  /// The most frequent next tokens, by falling count, then rising token.
  var children: [ChildCount] = []

  /// The odds that the next token is distributed as this observation says, against all shorter
  /// matches.
  ///
  /// Closed forms with constants that were chosen on real outputs (docs/reports/drafting.md). A long
  /// match is rarely wrong where only one token ever followed it. Where several tokens followed,
  /// many occurrences of each say more, and the length says little.
  ///
  /// - Parameter sureWeight: A factor for sure runs, by history.
  func odds(sureWeight: Double) -> Double {
    let length = Double(length)
    let count = Double(count)
    if kinds == 1 {
      let grown = 16 + length
      return grown * grown / 1400 * count * (count / Double(longestCount)).squareRoot() * sureWeight
    }
    let each = count / Double(kinds)
    return (each * each.squareRoot()).squareRoot() / length.squareRoot() * 0.4
  }
}

/// The observations of one history about one context, from the longest match down.
struct ObservedHistory {
  private var classes = MatchClasses()
  private var children = CountedChildren()
  /// True if `children` has all children of the current class.
  private var isListed = false
  /// The children of the current class in numbers.
  private var followers = Followers()
  /// The followed occurrences at each locus of the class.
  private var followed: [Int] = []
  /// The only next token, where there is one kind.
  private var onlyToken: Int32 = 0
  private var stage = Stage.unread
  /// The least length of a match that is observed.
  private var lengthMin = 1
  /// Followed occurrences of the last class that was observed.
  private var observedCount = 0

  private enum Stage {
    /// The longest match is to be looked up.
    case unmatched
    /// The current class is to be read, if it adds followed occurrences.
    case unread
    /// The current class is the next observation.
    case read
    /// The current class was observed.
    case observed
  }

  /// The history's indexes, among those of all histories.
  private var range = 0..<0
  /// An upper bound of the longest match, until it is looked up.
  private var matchBound = 0

  /// - Parameter lengthMin: The least length of a match that is observed, 1 or more.
  mutating func begin(_ matches: DraftedMatches, in range: Range<Int>, lengthMin: Int) {
    self.lengthMin = lengthMin
    self.range = range
    observedCount = 0
    stage = .unmatched
    matchBound = 0
    for index in range where matches.lengthBound(index) >= lengthMin {
      matchBound = max(matchBound, matches.lengthBound(index))
    }
  }

  /// An upper bound of the length of the next observation; 0 if there is certainly none.
  var lengthBound: Int { stage == .unmatched ? matchBound : classes.length }

  /// The length of the next observation; 0 if there is none.
  mutating func nextLength(_ indexes: [AnyHistoryIndex], _ matches: inout DraftedMatches) -> Int {
    switch stage {
    case .unmatched:
      classes.begin(&matches, in: range, indexes, lengthMin: lengthMin)
      stage = .unread
    case .observed: moveOn(indexes, &matches)
    case .unread, .read: break
    }
    while stage == .unread && lengthBound > 0 {
      count(indexes)
      if followers.count > observedCount { stage = .read } else { moveOn(indexes, &matches) }
    }
    return lengthBound
  }

  /// Takes the next observation, which must have been looked for and exist.
  mutating func take(
    _ indexes: [AnyHistoryIndex], _ matches: inout DraftedMatches,
    into observation: inout Observation
  ) {
    assert(stage == .read, "the observation was looked for")
    observation.length = classes.length
    observation.longestCount = followers.count
    observation.kinds = followers.kinds
    observation.children.removeAll(keepingCapacity: true)
    if followers.kinds == 1 {
      // Shorter matches that were followed by one token were followed by the same one.
      let token = onlyToken
      repeat { didObserve() } while nextLength(indexes, &matches) > 0 && followers.kinds == 1
      observation.children.append(ChildCount(token: token, count: observedCount))
      observation.count = observedCount
    } else {
      let countMin = (followers.count + Observation.rarityMax - 1) / Observation.rarityMax
      if !isListed {
        children.readFirst(
          Observation.childrenMax, of: classes.loci, followed: followed, indexes, countMin: countMin
        )
      }
      var sum = 0
      for place in children.sorted.indices.prefix(Observation.childrenMax) {
        let child = children.sorted[place]
        if child.count < countMin { break }
        sum += child.count
        observation.children.append(child)
      }
      didObserve()
      // Damaged indexes may count their children otherwise. No probability exceeds 1 all the same.
      observation.count = max(observedCount, sum)
    }
  }

  private mutating func didObserve() {
    observedCount = followers.count
    stage = .observed
  }

  private mutating func moveOn(_ indexes: [AnyHistoryIndex], _ matches: inout DraftedMatches) {
    let next = classes.next(lengthMin: lengthMin, indexes, &matches, in: range)
    classes.goOn(to: next, indexes, matches, in: range)
    stage = .unread
  }

  /// Counts the children of the current class.
  private mutating func count(_ indexes: [AnyHistoryIndex]) {
    isListed = false
    followers = Followers()
    followed.removeAll(keepingCapacity: true)
    // The number of indexes with children, and the last of them.
    var (holders, holder) = (0, 0)
    for place in classes.loci.indices {
      let locus = classes.loci[place]
      let own = indexes[Int(locus.index)].followers(of: locus.cursor)
      followed.append(own.count)
      if own.count == 0 { continue }
      followers.count += own.count
      followers.kinds = max(followers.kinds, own.kinds)
      holders += 1
      holder = place
    }
    if followers.count <= observedCount || followers.kinds == Followers.kindsMax { return }
    if followers.kinds == 1 {
      if let token = commonToken(indexes, upTo: holder) {
        onlyToken = token
        return
      }
    } else if holders == 1 {
      return
    }
    // Each index has few children, so that reading all of them takes little.
    children.readAll(of: classes.loci, indexes)
    isListed = true
    followers.kinds = min(children.sorted.count, Followers.kindsMax)
    // Only damaged indexes have none after all, or agree now.
    if followers.kinds == 0 { followers.count = 0 }
    if followers.kinds == 1 { onlyToken = children.sorted[0].token }
  }

  /// The token that follows in all indexes in which one follows; nil if they differ.
  private func commonToken(_ indexes: [AnyHistoryIndex], upTo holder: Int) -> Int32? {
    var common: Int32?
    for place in 0...holder {
      let locus = classes.loci[place]
      guard let child = indexes[Int(locus.index)].firstChild(of: locus.cursor) else {
        continue
      }
      if let common, common != child.token { return nil }
      common = child.token
    }
    return common
  }
}
