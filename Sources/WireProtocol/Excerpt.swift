extension String {
  /// The part of a name sent by a client that errors and the log repeat: its first 64 bytes at
  /// most, on one line.
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

  /// The text with a question mark for each scalar that would end the line or move a terminal's
  /// cursor.
  package var onOneLine: String {
    if unicodeScalars.allSatisfy(\.isPlain) { return self }
    var line = String.UnicodeScalarView()
    for scalar in unicodeScalars { line.append(scalar.isPlain ? scalar : "?") }
    return String(line)
  }
}

/// The length of an excerpt; enough to recognise a name.
package let excerptBytesMax = 64

extension Unicode.Scalar {
  /// True if the scalar neither ends a line, nor controls a terminal, nor changes the direction of
  /// text.
  package var isPlain: Bool {
    switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: false
    default: true
    }
  }
}
