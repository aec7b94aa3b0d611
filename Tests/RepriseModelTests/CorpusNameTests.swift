import RepriseModel
import Testing

/// No name leads out of the directory of a store.
@Suite struct CorpusNameTests {
  @Test func theRuleHolds() {
    for text in ["a", "A.b_c-9", "_", "0", String(repeating: "x", count: 64)] {
      #expect(CorpusName(text)?.text == text && SnapshotReference.isName(text), "\(text)")
    }
    for text in ["", ".", "..", ".x", "-x", "a/b", "a b", "a\0", "ä", "x\n"] {
      #expect(CorpusName(text) == nil && !SnapshotReference.isName(text), "\(text)")
    }
  }

  @Test func lengthsAreBoundedInBytes() {
    let (corpus, snapshot) = (
      String(repeating: "x", count: CorpusName.bytesMax + 1),
      String(repeating: "x", count: SnapshotReference.nameBytesMax)
    )
    #expect(CorpusName(corpus) == nil && SnapshotReference.isName(corpus))
    #expect(SnapshotReference.isName(snapshot) && !SnapshotReference.isName(snapshot + "x"))
  }
}
