extension String {
  /// What errors and the log repeat of a name that a client sent: its first 64 bytes at most, on one
  /// line.
  ///
  /// It is cut between Unicode scalars, because a single character may have any number of them.
  package var excerpt: String {
    var bytes = 0
    let beginning = unicodeScalars.prefix { scalar in
      bytes += UTF8.width(scalar)
      return bytes <= excerptBytesMax
    }
    return String(beginning).onOneLine
  }

  /// The text with a question mark for each scalar that would end the line or move a terminal's cursor.
  package var onOneLine: String {
    if unicodeScalars.allSatisfy(\.isPlain) { return self }
    var line = String.UnicodeScalarView()
    for scalar in unicodeScalars { line.append(scalar.isPlain ? scalar : "?") }
    return String(line)
  }
}

/// Enough to recognise a name by.
package let excerptBytesMax = 64

extension Unicode.Scalar {
  /// Whether it neither ends a line, nor commands a terminal, nor turns the direction of text.
  package var isPlain: Bool {
    switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: false
    default: true
    }
  }
}
