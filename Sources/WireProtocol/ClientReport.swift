import RepriseModel

/// `client.report`: the outcome of a client's steps since its last report.
///
/// Only the client knows which of its steps got no draft in time: to the service they look like all
/// others, or never arrive.
public struct ClientReport: Equatable, Sendable {
  /// The reason why a step had no draft.
  public enum Reason: String, CaseIterable, Sendable {
    /// The draft did not come within the client's deadline.
    case late
    /// The service could not be reached.
    case down
    /// The service answered with an error.
    case refused
    /// The histories held no continuation.
    case empty
    /// The client had abandoned the session, so its output is not recorded either.
    case unrecorded
  }

  /// The client's kind, such as "vllm", used if no access token gives it a name.
  public var engine: String?
  /// Steps in which a draft was wanted, those without one included.
  public var steps: Int
  /// Steps without a draft, by reason. A missing reason counts 0.
  public var missed: [Reason: Int]

  /// The longest `engine`, in bytes.
  public static let engineBytesMax = 64
  /// The range of each count.
  public static let countRange = 0...Int(Int32.max)

  public init(engine: String? = nil, steps: Int = 0, missed: [Reason: Int] = [:]) {
    self.engine = engine
    self.steps = steps
    self.missed = missed
  }

  init(_ params: JSONValue?) throws(WireError) {
    var engine: String?
    var steps: Int?
    var missed: [Reason: Int] = [:]
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      switch name {
      case "engine":
        try member.set(&engine, member.name(.engineBytes, bytesMax: Self.engineBytesMax))
      case "steps": try member.set(&steps, member.integer(Self.countRange))
      default:
        guard let reason = Reason(rawValue: name) else { throw member.unknown }
        try member.set(&missed[reason], member.integer(Self.countRange))
      }
    }
    self.init(engine: engine, steps: steps ?? 0, missed: missed)
  }

  func write(to writer: inout JSONWriter) {
    if let engine {
      writer.name("engine")
      writer.string(engine)
    }
    writer.name("steps")
    writer.integer(steps)
    for reason in Reason.allCases {
      guard let count = missed[reason] else { continue }
      writer.name(of: reason.rawValue)
      writer.integer(count)
    }
  }

  public static func == (one: Self, other: Self) -> Bool {
    one.engine == other.engine && one.steps == other.steps
      && Reason.allCases.allSatisfy { one.missed[$0, default: 0] == other.missed[$0, default: 0] }
  }
}

/// The result of `client.report`.
public struct ClientReported: WireResult, Equatable {
  /// The name under which the service counts this client's steps.
  public var client: String

  public init(client: String) {
    self.client = client
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("client")
    writer.string(client)
  }

  public init?(result: ResultObject) {
    guard let client = result.string("client") else { return nil }
    self.init(client: client)
  }
}
