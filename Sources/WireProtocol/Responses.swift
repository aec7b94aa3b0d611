import RepriseModel

/// The framing of answers. The service writes an answer's members between `beginResult` and
/// `endResult`.
extension JSONWriter {
  /// Writes an answer up to the members of its result.
  public mutating func beginResult(_ id: RequestID) {
    beginResponse(id)
    name("result")
    beginObject()
  }

  /// Ends an answer that `beginResult` began.
  public mutating func endResult() {
    endObject()
    endObject()
  }

  /// Writes an answer with a result as one line.
  public mutating func result(_ id: RequestID, _ result: some WireResult) {
    beginResult(id)
    result.write(to: &self)
    endResult()
  }

  /// Writes an answer with an error as one line.
  public mutating func error(_ id: RequestID, _ error: WireError) {
    beginResponse(id)
    name("error")
    error.write(to: &self)
    endObject()
  }

  private mutating func beginResponse(_ id: RequestID) {
    beginObject()
    name("jsonrpc")
    string("2.0")
    name("id")
    id.write(to: &self)
  }
}

/// Reads answers. Keep one per connection: its buffers are used again.
public final class ResponseReader {
  private let document: JSONDocument

  public init(lineBytesMax: Int) {
    document = JSONDocument(bytesMax: lineBytesMax, depthMax: Limits.nestingMax)
  }

  /// The reason why a line is not an answer.
  public struct Malformed: Error, Equatable, Sendable {
    public let reason: String
  }

  /// Reads one line and calls `body` with its id and result or error, which are valid only during
  /// the call.
  public func read(
    _ line: RawSpan, _ body: (RequestID, Result<ResultObject, WireError>) -> Void
  ) throws(Malformed) {
    let root: JSONValue
    do throws(JSONDocument.SyntaxError) {
      root = try document.parse(line)
    } catch {
      throw Malformed(reason: error.reason)
    }
    guard root.kind == .object else { throw Malformed(reason: "the answer is not an object") }
    let object = ResultObject(value: root)
    var id: RequestID?
    root.forEachMember { (name, value) in
      if name == "id" { id = RequestID(value) }
    }
    guard let id else { throw Malformed(reason: "the answer has no id") }
    if let error = object.member("error") {
      body(id, .failure(WireError(error)))
    } else if let result = object.member("result"), result.kind == .object {
      body(id, .success(ResultObject(value: result)))
    } else {
      throw Malformed(reason: "the answer has neither result nor error")
    }
  }
}
