import RepriseModel
import Testing

@Suite struct EndIDsTests {
  @Test func idsAreASet() throws {
    let ids = try #require(EndIDs([7, 3, 7, 0]))
    #expect(ids.list == [0, 3, 7] && ids == EndIDs([0, 3, 7]))
    for id in Int32(0)...9 { #expect(ids.contains(id) == [0, 3, 7].contains(id)) }
    #expect(ids.contains(.max) == false)
    #expect(EndIDs([])?.isEmpty == true && EndIDs().list == [])
    #expect(EndIDs(0..<8)?.count == 8)
    #expect(EndIDs(0..<9) == nil)
    #expect(EndIDs([1, -1]) == nil)
  }

  @Test func anOutputEndsWithTheFirst() throws {
    let ids = try #require(EndIDs([5, 6]))
    for (output, end) in [
      ([], nil), ([1, 2], nil), ([5], 1), ([1, 6, 5, 2], 2), ([1, 2, 5], 3),
    ] as [([Int32], Int?)] {
      #expect(ids.end(of: output.span) == end, "\(output)")
    }
    #expect(EndIDs().end(of: [5].span) == nil)
  }

  @Test func theyAreBelowTheVocabulary() throws {
    let ids = try #require(EndIDs([5, 99]))
    #expect(CorpusSettings(vocabulary: 100, endIDs: ids).problem == nil)
    #expect(
      CorpusSettings(vocabulary: 99, endIDs: ids).problem
        == "end_ids has 99, expected ids below the vocabulary, which is 99")
  }
}
