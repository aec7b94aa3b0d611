/// An element that a draft may use next.
protocol FringeEntry: Sendable {
  /// True if it is used before another one.
  func precedes(_ other: Self) -> Bool
}

/// The elements that a growing tree may use next: a binary heap.
struct Fringe<Entry: FringeEntry>: Sendable {
  private var entries: [Entry] = []

  var first: Entry? { entries.first }
  var count: Int { entries.count }

  /// Empties it and keeps its storage.
  mutating func removeAll() { entries.removeAll(keepingCapacity: true) }

  mutating func push(_ entry: Entry) {
    entries.append(entry)
    var place = entries.count - 1
    while place > 0, entries[place].precedes(entries[(place - 1) / 2]) {
      entries.swapAt(place, (place - 1) / 2)
      place = (place - 1) / 2
    }
  }

  mutating func pop() -> Entry? {
    if entries.isEmpty { return nil }
    entries.swapAt(0, entries.count - 1)
    let first = entries.removeLast()
    var place = 0
    while true {
      var best = place
      for child in [2 * place + 1, 2 * place + 2]
      where child < entries.count && entries[child].precedes(entries[best]) { best = child }
      if best == place { return first }
      entries.swapAt(place, best)
      place = best
    }
  }
}
