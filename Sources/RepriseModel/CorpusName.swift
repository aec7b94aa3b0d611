/// The name of a corpus: 1 to 64 ASCII letters, digits, '.', '_' or '-', not beginning with '.' or '-'.
///
/// A path made of such a name never leaves its directory.
public struct CorpusName: Hashable, Sendable {
  public let text: String

  public static let bytesMax = 64
  /// The rule in words, to go behind "expected".
  public static let rule = nameRule(bytesMax: bytesMax)

  /// Checks a text; nil where it cannot name a corpus.
  public init?(_ text: String) {
    guard isName(text, bytesMax: Self.bytesMax) else { return nil }
    self.text = text
  }
}

extension CorpusName: LosslessStringConvertible, Comparable {
  public var description: String { text }

  public static func < (one: CorpusName, other: CorpusName) -> Bool { one.text < other.text }
}

extension CorpusName: ExpressibleByStringLiteral {
  /// Takes a name that is written in the source code.
  ///
  /// - Precondition: The literal can name a corpus.
  public init(stringLiteral text: String) {
    guard let name = CorpusName(text) else {
      preconditionFailure("\"\(text)\" cannot name a corpus")
    }
    self = name
  }
}

func nameRule(bytesMax: Int) -> String {
  "1 to \(bytesMax) letters, digits, '.', '_' or '-', not beginning with '.' or '-'"
}

/// The rule of names of corpora and of snapshots.
func isName(_ text: String, bytesMax: Int) -> Bool {
  (1...bytesMax).contains(text.utf8.count) && !text.hasPrefix(".") && !text.hasPrefix("-")
    && text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "-"):
        true
      default: false
      }
    }
}
