import Foundation

/// The part of JSON Schema that docs/guide/openrpc.json uses. An unknown keyword is a mistake, so
/// that no bound is written there without being checked.
struct JSONSchema {
  let keywords: [String: JSON]
  /// The schemas that `$ref` refers to.
  let components: [String: JSON]

  init(_ schema: JSON, _ components: [String: JSON]) {
    var schema = schema
    while let name = schema["$ref"]?.string?.split(separator: "/").last {
      schema = components[String(name)] ?? .null
    }
    keywords = schema.object ?? ["no such schema": .null]
    self.components = components
  }

  private static let known: Set<String> = [
    "type", "description", "default", "enum", "oneOf", "minimum", "maximum", "minLength",
    "maxLength", "pattern", "items", "minItems", "maxItems", "properties", "required",
    "additionalProperties", "x-limit", "x-exactly-one",
  ]

  var type: String { keywords["type"]?.string ?? "" }
  var limit: String? { keywords["x-limit"]?.string }

  func sub(_ schema: JSON) -> JSONSchema { JSONSchema(schema, components) }
  var items: JSONSchema { sub(keywords["items"] ?? .null) }

  var properties: [String: JSONSchema] {
    (keywords["properties"]?.object ?? [:]).mapValues(sub)
  }

  var required: [String] { (keywords["required"]?.array ?? []).compactMap(\.string) }

  /// Members of which exactly one must be given, which an OpenRPC document cannot express
  /// otherwise.
  var exactlyOne: [String] { (keywords["x-exactly-one"]?.array ?? []).compactMap(\.string) }

  // MARK: Values

  /// The mistakes in a value, each with its place.
  func mistakes(in value: JSON, at place: String) -> [String] {
    var mistakes = keywords.keys.filter { !Self.known.contains($0) }
      .map { "\(place): the schema's \($0) is not known" }
    func expect(_ holds: Bool, _ keyword: String) {
      if !holds { mistakes.append("\(place): \(value.text) breaks \(keyword)") }
    }
    if let choices = keywords["oneOf"]?.array {
      expect(choices.count { sub($0).mistakes(in: value, at: place).isEmpty } == 1, "oneOf")
      return mistakes
    }
    if let choices = keywords["enum"]?.array { expect(choices.contains(value), "enum") }
    switch (type, value) {
    case ("null", .null), ("boolean", .bool): break
    case ("integer", .integer), ("number", .integer), ("number", .number):
      let number = value.number ?? 0
      if let bound = keywords["minimum"]?.number { expect(number >= bound, "minimum") }
      if let bound = keywords["maximum"]?.number { expect(number <= bound, "maximum") }
    case ("string", .string(let text)):
      if let bound = keywords["minLength"]?.integer {
        expect(text.utf8.count >= bound, "minLength")
      }
      if let bound = keywords["maxLength"]?.integer {
        expect(text.utf8.count <= bound, "maxLength")
      }
      if let pattern = keywords["pattern"]?.string {
        expect(text.range(of: pattern, options: .regularExpression) != nil, "pattern")
      }
    case ("array", .array(let elements)):
      if let bound = keywords["minItems"]?.integer { expect(elements.count >= bound, "minItems") }
      if let bound = keywords["maxItems"]?.integer { expect(elements.count <= bound, "maxItems") }
      for (position, element) in elements.enumerated() {
        mistakes += items.mistakes(in: element, at: "\(place)[\(position)]")
      }
    case ("object", .object(let members)):
      for name in required { expect(members[name] != nil, "required \(name)") }
      for (name, member) in members {
        if let property = properties[name] {
          mistakes += property.mistakes(in: member, at: "\(place).\(name)")
        } else {
          expect(keywords["additionalProperties"] != .bool(false), "no other member, \(name)")
        }
      }
    default: expect(false, "type \(type)")
    }
    return mistakes
  }

  /// A value that the schema allows, with only the required members.
  var sample: JSON {
    if let first = keywords["enum"]?.array?.first { return first }
    switch type {
    case "boolean": return .bool(true)
    case "integer", "number": return keywords["minimum"] ?? .integer(0)
    case "string": return "a"
    case "array":
      return .array(Array(repeating: items.sample, count: keywords["minItems"]?.integer ?? 1))
    case "object":
      let names = required + exactlyOne.prefix(1)
      return .object(
        Dictionary(uniqueKeysWithValues: names.map { ($0, properties[$0]?.sample ?? .null) }))
    default: return .null
    }
  }
}

/// A value at a bound, just inside of it or just outside.
struct Boundary {
  let value: JSON
  let isInside: Bool
  /// The place that an error about it names, such as "params.steps[0].accept".
  var place: String
  /// The limit that an error may name instead.
  var limit: String?

  func placed(in value: JSON) -> Boundary {
    Boundary(value: value, isInside: isInside, place: place, limit: limit)
  }
}

extension JSONSchema {
  /// All boundaries of the schema and of the schemas inside it.
  ///
  /// - Parameter limits: Returns the values of the bounds that `x-limit` names.
  func boundaries(at place: String, limits: (String) -> Int?) -> [Boundary] {
    func inside(_ value: JSON) -> Boundary { Boundary(value: value, isInside: true, place: place) }
    func outside(_ value: JSON) -> Boundary {
      Boundary(value: value, isInside: false, place: place, limit: limit)
    }
    func bound(_ keyword: String) -> Int? {
      limit.flatMap(limits) ?? keywords[keyword]?.integer
    }
    if let choices = keywords["enum"]?.array { return choices.map(inside) + [outside("xyzzy")] }
    // Those of the first choice; what is outside of it is outside of the others too.
    if let first = keywords["oneOf"]?.array?.first {
      return sub(first).boundaries(at: place, limits: limits)
    }
    switch type {
    case "boolean": return [inside(.bool(true)), inside(.bool(false)), outside(.integer(1))]
    case "integer", "number":
      var found = [outside(.null), outside("1")]
      if let least = keywords["minimum"]?.integer {
        found += [inside(.integer(least)), outside(.integer(least - 1))]
      }
      if let most = bound("maximum") {
        found += [inside(.integer(most)), outside(.integer(most + 1))]
      }
      return found
    case "string":
      var found = [outside(.integer(1))]
      if keywords["minLength"] == .integer(1) { found += [inside("x"), outside("")] }
      if let most = bound("maxLength") {
        found += [most, most + 1].map { count in
          let text = JSON.string(String(repeating: "x", count: count))
          return count == most ? inside(text) : outside(text)
        }
      }
      return found
    case "array":
      func elements(_ count: Int) -> JSON { .array(Array(repeating: items.sample, count: count)) }
      let least = keywords["minItems"]?.integer ?? 0
      var found = [outside(.object([:])), inside(elements(least))]
      if least > 0 { found.append(outside(elements(least - 1))) }
      if let most = bound("maxItems") {
        found += [inside(elements(most)), outside(elements(most + 1))]
      }
      return found
        + items.boundaries(at: "\(place)[0]", limits: limits).map {
          $0.placed(in: .array([$0.value]))
        }
    default:
      let found = place == "params" ? [] : [outside(.array([]))]
      return found + ownBoundaries(at: place) + propertyBoundaries(at: place, limits: limits)
    }
  }

  /// The boundaries of the schema itself, without those inside it.
  private func ownBoundaries(at place: String) -> [Boundary] {
    func outside(_ members: [String: JSON], _ name: String) -> Boundary {
      Boundary(value: .object(members), isInside: false, place: "\(place).\(name)")
    }
    let members = sample.object ?? [:]
    var found = [outside(members.merging(["xyzzy": .integer(1)]) { $1 }, "xyzzy")]
    for name in required { found.append(outside(members.filter { $0.key != name }, name)) }
    if exactlyOne.count == 2 {
      found.append(outside(members.filter { $0.key != exactlyOne[0] }, exactlyOne[0]))
      let second = [exactlyOne[1]: properties[exactlyOne[1]]?.sample ?? .null]
      found.append(outside(members.merging(second) { $1 }, exactlyOne[1]))
    }
    return found
  }

  private func propertyBoundaries(
    at place: String, limits: (String) -> Int?
  ) -> [Boundary] {
    properties.sorted { $0.key < $1.key }.flatMap { name, property in
      var members = sample.object ?? [:]
      if exactlyOne.contains(name) { for other in exactlyOne { members[other] = nil } }
      return property.boundaries(at: "\(place).\(name)", limits: limits).map { boundary in
        boundary.placed(in: .object(members.merging([name: boundary.value]) { $1 }))
      }
    }
  }

  /// Every object that a value may have, as a value with additional members.
  func objects(at place: String) -> [(
    place: String, schema: JSONSchema, with: ([String: JSON]) -> JSON
  )] {
    switch type {
    case "array":
      return items.objects(at: "\(place)[0]").map { object in
        (object.place, object.schema, { .array([object.with($0)]) })
      }
    case "object":
      let members = sample.object ?? [:]
      let inner = properties.flatMap { name, property in
        property.objects(at: "\(place).\(name)").map { object in
          (
            object.place, object.schema,
            { JSON.object(members.merging([name: object.with($0)]) { $1 }) }
          )
        }
      }
      return [(place, self, { .object(members.merging($0) { $1 }) })] + inner
    default: return []
    }
  }
}
