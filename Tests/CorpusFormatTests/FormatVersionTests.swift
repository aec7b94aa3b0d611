import Foundation
import Testing

@testable import CorpusFormat
@testable import SuffixIndex

/// The versions that docs/changelog.md announces are those of the code.
@Suite struct FormatVersionTests {
  @Test(arguments: [
    ("store", CorpusFile.formatVersion), ("index image", SealedLayout.version),
    ("manifest of a snapshot", SnapshotManifest.version),
  ])
  func theChangelogAnnouncesTheVersion(_ format: String, _ version: UInt32) throws {
    let path = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "../../docs/changelog.md")
    let lines = try String(contentsOf: path, encoding: .utf8).split(separator: "\n")
    let line = try #require(lines.first { $0.hasPrefix("| \(format) ") })
    let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
    #expect(UInt32(cells[1]) == version)
  }
}
