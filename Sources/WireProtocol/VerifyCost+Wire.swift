import RepriseModel

extension VerifyCost {
  /// Reads a number, or an array of points, each an array of the step's tokens and its time.
  init(_ member: Member) throws(WireError) {
    func wrong() -> WireError {
      member.wrong(
        "a number from 0 to 1, or 2 to \(Self.pointsMax) points [tokens, time] that rise in tokens "
          + "and do not fall in time")
    }
    if [.integer, .number].contains(member.value.kind) {
      guard let cost = VerifyCost(perToken: member.value.double) else { throw wrong() }
      self = cost
      return
    }
    guard member.value.kind == .array, member.value.count <= Self.pointsMax else { throw wrong() }
    var points: [Point] = []
    member.value.forEachElement { (_, element) in
      guard element.kind == .array, element.count == 2 else { return }
      var (tokens, time): (Int?, Double?)
      element.forEachElement { (place, value) in
        if place == 0 && value.kind == .integer { tokens = Int(exactly: value.integer) }
        if place == 1 && [.integer, .number].contains(value.kind) { time = value.double }
      }
      if let tokens, let time { points.append(Point(tokens: tokens, time: time)) }
    }
    guard points.count == member.value.count, let cost = VerifyCost(points: points) else {
      throw wrong()
    }
    self = cost
  }

  func write(to writer: inout JSONWriter) {
    if points.isEmpty { return writer.number(perToken) }
    writer.beginArray()
    for point in points {
      writer.beginArray()
      writer.integer(point.tokens)
      writer.number(point.time)
      writer.endArray()
    }
    writer.endArray()
  }
}
