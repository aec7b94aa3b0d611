import SuffixIndex
import TestSupport

/// Grows the sequences in parallel: the next one to get a token is drawn at random.
func growInterleaved(
  _ sequences: [[Int32]], into index: GrowingIndex, using generator: inout SeededGenerator
) {
  var tails = sequences.map { _ in GrowingIndex.Tail() }
  var positions = sequences.map { _ in 0 }
  while true {
    let open = sequences.indices.filter { positions[$0] < sequences[$0].count }
    guard let chosen = open.randomElement(using: &generator) else { return }
    index.extend(&tails[chosen], by: sequences[chosen][positions[chosen]])
    positions[chosen] += 1
  }
}

func grown(_ sequences: [[Int32]], depth: Int) -> GrowingIndex {
  let index = GrowingIndex(depth: depth)
  for sequence in sequences {
    var tail = GrowingIndex.Tail()
    index.extend(&tail, by: sequence.span)
  }
  return index
}

/// A sealed index together with its memory.
struct SealedFixture {
  let buffer: SealedImageBuffer
  let index: SealedIndex

  init(_ sequences: [[Int32]], depth: Int) throws {
    var builder = SealedIndexBuilder(depth: depth)
    for sequence in sequences { builder.append(sequence.span) }
    buffer = builder.build()
    index = try SealedIndex(buffer.image)
  }
}

/// Every sequence of 1 to `length` tokens over `alphabet` symbols.
func allSequences(upTo length: Int, alphabet: Int32) -> [[Int32]] {
  var all: [[Int32]] = []
  var last: [[Int32]] = [[]]
  for _ in 0..<length {
    last = last.flatMap { sequence in (0..<alphabet).map { sequence + [$0] } }
    all += last
  }
  return all
}
