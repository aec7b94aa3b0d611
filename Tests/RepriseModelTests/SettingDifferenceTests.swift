import RepriseModel
import Testing

@Suite struct SettingDifferenceTests {
  private static let settings = CorpusSettings(depth: 32, tokenizer: "t", vocabulary: 100)

  @Test func equalSettingsDoNotDiffer() {
    #expect(Self.settings.differences(from: Self.settings) == [])
  }

  @Test func eachSettingIsComparedAndSaysBothValues() {
    let asked = CorpusSettings(
      retention: Retention(tokens: 64), durability: .interval(millis: 7), vocabulary: 101,
      leadIn: 0, endIDs: EndIDs([9, 7])!)
    let differences = Self.settings.differences(from: asked)
    #expect(
      differences == [
        .depth(has: 32, asked: 64), .tokenizer(has: "t", asked: nil),
        .vocabulary(has: 100, asked: 101),
        .retention(has: Retention(), asked: Retention(tokens: 64)),
        .durability(has: .commit, asked: .interval(millis: 7)), .leadIn(has: 8, asked: 0),
        .endIDs(has: EndIDs(), asked: EndIDs([7, 9])!),
      ])
    #expect(
      differences.map(\.description) == [
        "depth is 32, asked for 64", "tokenizer is t, asked for none",
        "vocabulary is 100, asked for 101", "retention is unbounded, asked for 64 tokens",
        "durability is commit, asked for interval of 7 ms", "lead_in is 8, asked for 0",
        "end_ids is [], asked for [7, 9]",
      ])
    #expect(differences.filter(\.separatesTokens).count == 2)
    #expect(differences.filter(\.separatesHistories).count == 3)
  }

  /// Token ids of a smaller vocabulary are ids of a larger one.
  @Test func aVocabularySeparatesWhereItIsTheSmallerOne() {
    for (has, asked, separates) in [
      (100, 101, true), (101, 100, false), (nil, 100, false), (100, nil, true),
      (Int(Int32.max), nil, false),
    ] as [(Int?, Int?, Bool)] {
      let difference = SettingDifference.vocabulary(has: has, asked: asked)
      #expect(difference.separatesTokens == separates, "\(difference)")
    }
  }
}
