import RepriseModel

/// A value with its place in the request, so that an error can name the place.
struct Member {
  let value: JSONValue
  /// A text such as "params.steps[3].accept"; built only if an error needs it.
  let place: Place

  struct Place: CustomStringConvertible {
    var object: StaticString = "params"
    /// Position of the object in an array; −1 for none.
    var position = -1
    var name: String

    var description: String {
      position < 0 ? "\(object).\(name.excerpt)" : "\(object)[\(position)].\(name.excerpt)"
    }
  }

  func wrong(_ expected: String) -> WireError {
    let got =
      switch value.kind {
      case .null: "null"
      case .bool: "a boolean"
      case .integer: "\(value.integer)"
      case .number where value.double.magnitude == JSONNumerals.tooLarge: "out of range"
      case .number: "\(value.double)"
      case .string: "a string"
      case .array: "an array"
      case .object: "an object"
      }
    return WireError(
      .invalidParams, "\(place) is \(got), expected \(expected)",
      ["member": .text(place.description)])
  }

  var unknown: WireError {
    WireError(
      .invalidParams,
      "\(place) is not known to this method; leave it out, or see docs/guide/protocol.md for its members",
      ["member": .text(place.description)])
  }

  private var twice: WireError {
    WireError(
      .invalidParams, "\(place) is given twice, expected once",
      ["member": .text(place.description)])
  }

  /// Stores a value in its variable, which must still be empty.
  func set<Value>(_ variable: inout Value?, _ value: Value) throws(WireError) {
    if variable != nil { throw twice }
    variable = value
  }

  // MARK: Values

  func bool() throws(WireError) -> Bool {
    guard value.kind == .bool else { throw wrong("true or false") }
    return value.bool
  }

  func integer(_ range: ClosedRange<Int>) throws(WireError) -> Int {
    guard value.kind == .integer, let integer = Int(exactly: value.integer),
      range.contains(integer)
    else { throw wrong("an integer from \(range.lowerBound) to \(range.upperBound)") }
    return integer
  }

  func number(_ range: ClosedRange<Double>) throws(WireError) -> Double {
    guard value.kind == .integer || value.kind == .number, range.contains(value.double) else {
      throw wrong("a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value.double
  }

  func string(_ limit: LimitName, bytesMax: Int) throws(WireError) -> String {
    guard value.kind == .string else { throw wrong("a string") }
    if value.stringBytes > bytesMax {
      throw .limit(limit, max: bytesMax, got: value.stringBytes, "\(place)")
    }
    return value.string
  }

  func name(_ limit: LimitName, bytesMax: Int) throws(WireError) -> String {
    let name = try string(limit, bytesMax: bytesMax)
    if name.isEmpty { throw wrong("a name that is not empty") }
    return name
  }

  /// The name of a corpus that is there. A name that no corpus can have is answered as one that is not
  /// there.
  func corpusToFind() throws(WireError) -> CorpusName {
    let text = try corpusText()
    guard let name = CorpusName(text) else { throw .corpusNotFound(named: text) }
    return name
  }

  /// The name of a corpus that may have to be made.
  func corpusToMake() throws(WireError) -> CorpusName {
    let text = try corpusText()
    guard let name = CorpusName(text) else {
      throw WireError(
        .invalidParams,
        "\"\(text.excerpt)\" cannot name a corpus: expected \(CorpusName.rule)",
        ["member": .text(place.description)])
    }
    return name
  }

  /// Any text that is not too long for the name of a corpus.
  func corpusText() throws(WireError) -> String {
    try name(.corpusNameBytes, bytesMax: CorpusName.bytesMax)
  }

  /// The store decides which names are allowed.
  func snapshotName(_ limits: Limits) throws(WireError) -> String {
    try name(.snapshotNameBytes, bytesMax: limits.snapshotNameBytesMax)
  }

  /// Reads the path of a file.
  func path(_ limits: Limits) throws(WireError) -> String {
    let path = try name(.pathBytes, bytesMax: limits.pathBytesMax)
    // The system would take the part before the zero byte as the path.
    if path.utf8.contains(0) { throw wrong("a path without a zero byte") }
    return path
  }

  /// Appends an array of token ids and returns their range.
  func tokens(
    _ limit: LimitName, max: Int, to tokens: inout [Int32]
  ) throws(WireError) -> Range<Int> {
    guard value.kind == .array else { throw wrong("an array of token ids") }
    if value.count > max { throw .limit(limit, max: max, got: value.count, "\(place)") }
    let start = tokens.count
    try self.tokens(to: &tokens)
    return start..<tokens.count
  }

  /// Appends an array of token ids that is not too long.
  func tokens(to tokens: inout [Int32]) throws(WireError) {
    let copied = value.appendTokens(to: &tokens)
    if copied < value.count {
      var bad = self
      value.forEachElement { (position, element) in
        if position == copied {
          bad = Member(
            value: element,
            place: Place(
              object: place.object, position: place.position, name: "\(place.name)[\(copied)]"))
        }
      }
      throw bad.wrong("a token id, an integer from 0 to \(Int32.max - 1)")
    }
  }
}

extension JSONValue {
  /// Calls `body` with each member of an object whose place is known.
  func forEachMember(
    of object: StaticString, position: Int = -1,
    _ body: (_ name: String, Member) throws(WireError) -> Void
  ) throws(WireError) {
    try forEachMember { (name, value) throws(WireError) in
      let place = Member.Place(object: object, position: position, name: name)
      try body(name, Member(value: value, place: place))
    }
  }
}

/// Returns a member's value; throws if the member is missing.
func required<Value>(
  _ value: Value?, _ name: StaticString, in object: @autoclosure () -> String = "params"
) throws(WireError) -> Value {
  if let value { return value }
  let object = object()
  throw WireError(
    .invalidParams, "\(object).\(name) is missing",
    ["member": .text("\(object).\(name)")])
}
