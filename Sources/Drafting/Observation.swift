import SuffixIndex

/// The tokens that followed one length of match in one history, and the weight that is given to them.
///
/// Consecutive lengths after which only one token ever came, which is then the same one, are a single
/// observation: a *sure run*.
struct Observation {
  struct Child: BitwiseCopyable {
    var token: Int32
    var count: Int
  }

  /// The number of children that are looked at.
  static let childrenMax = 8

  /// Tokens of the match; in a sure run those of its longest.
  var length = 0
  /// Followed occurrences of the match; in a sure run those of its longest.
  var longestCount = 0
  /// Followed occurrences of the match; in a sure run those of its shortest, which are the most.
  var count = 0
  /// The most frequent next tokens, by falling count, then rising token. Where there are fewer than
  /// `childrenMax`, there are no others.
  var children: [Child] = []

  var isSure: Bool { children.count == 1 }

  /// The odds that the next token is distributed as this observation says, against all shorter
  /// matches.
  ///
  /// Closed forms that were fitted to real outputs (docs/internals/drafting.md). A long match is
  /// rarely wrong where only one token ever followed it. Where several tokens followed, many
  /// occurrences of each say more, and the length says little.
  ///
  /// - Parameter sureWeight: A factor for sure runs, by history.
  func odds(sureWeight: Double) -> Double {
    let length = Double(length)
    let count = Double(count)
    if isSure {
      let grown = 16 + length
      return grown * grown / 1400 * count * (count / Double(longestCount)).squareRoot() * sureWeight
    }
    let each = count / Double(children.count)
    return (each * each.squareRoot()).squareRoot() / length.squareRoot() * 0.4
  }
}

/// The observations of one history about one context, from the longest match down.
struct ObservedHistory {
  private var classes = MatchClasses()
  private var combined = CombinedChildren()
  private var loci: [Locus] = []
  /// The children of the current class, and their occurrences together.
  private var children: [CombinedChildren.Child] = []
  private var count = 0
  /// False if the current class must be read, or is one that adds no followed occurrence.
  private var isRead = false
  /// Followed occurrences of the last class that was observed.
  private var observedCount = 0

  /// The place of an observation in its context: the history's indexes, and the longest match there.
  struct Context {
    let indexes: [AnyHistoryIndex]
    let matches: MatchClasses.Matches
    /// The least tokens of a match that is observed, at least 1.
    let lengthMin: Int
  }

  mutating func begin(_ context: Context) {
    classes.begin(context.matches)
    observedCount = 0
    isRead = false
  }

  /// The length of the next observation; 0 if there is none.
  @inline(__always)
  mutating func nextLength(_ context: Context) -> Int {
    if !isRead { read(context) }
    return classes.length
  }

  /// Takes the next observation, which must exist.
  mutating func take(_ context: Context, into observation: inout Observation) {
    assert(isRead && classes.length > 0, "the observation was looked for")
    observation.length = classes.length
    observation.longestCount = count
    observation.children.removeAll(keepingCapacity: true)
    for place in children.indices {
      observation.children.append(
        Observation.Child(token: children[place].token, count: children[place].count))
    }
    goOn(context)
    if observation.isSure {
      // A child of the shorter match is the same token: it followed the longer one too.
      while nextLength(context) > 0 && children.count == 1 { goOn(context) }
      observation.children[0].count = observedCount
    }
    observation.count = observedCount
  }

  private mutating func goOn(_ context: Context) {
    observedCount = count
    moveOn(context)
  }

  private mutating func moveOn(_ context: Context) {
    let next = classes.next(
      lengthMin: context.lengthMin, context.indexes, context.matches)
    classes.goOn(to: next, context.indexes, context.matches)
    isRead = false
  }

  /// Reads the first class, from the current one on, that adds followed occurrences.
  private mutating func read(_ context: Context) {
    isRead = true
    while classes.length > 0 {
      if classes.length < context.lengthMin { return classes.end() }
      children.removeAll(keepingCapacity: true)
      loci.removeAll(keepingCapacity: true)
      combined.append(
        of: classes.loci, context.indexes, countMin: 1, limit: Observation.childrenMax,
        to: &children, &loci)
      count = 0
      if children.count < Observation.childrenMax {
        for place in children.indices { count += children[place].count }
      } else {
        for place in classes.loci.indices {
          let locus = classes.loci[place]
          count += context.indexes[Int(locus.index)].followedCount(of: locus.cursor)
        }
      }
      if count > observedCount { return }
      moveOn(context)
      isRead = true
    }
  }
}
