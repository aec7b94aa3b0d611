import RepriseModel

/// A request: a call, and the id of its answer.
public struct Request: Sendable {
  /// nil for a notification, which is carried out and not answered.
  public var id: RequestID?
  public var call: Call

  public init(id: RequestID?, call: Call) {
    self.id = id
    self.call = call
  }

  /// Writes the request as one line.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.name("jsonrpc")
    writer.string("2.0")
    if let id {
      writer.name("id")
      id.write(to: &writer)
    }
    writer.name("method")
    writer.string(call.method.name)
    writer.name("params")
    writer.beginObject()
    call.writeParams(to: &writer)
    writer.endObject()
    writer.endObject()
    writer.endLine()
  }
}

/// A request that could not be read. It is answered under its id if the id could be read.
public struct BadRequest: Error, Equatable, Sendable {
  public var id: RequestID?
  public var error: WireError
}

/// The content of one line.
public enum RequestLine: Sendable {
  case one(Result<Request, BadRequest>)
  case batch([Result<Request, BadRequest>])
}

/// Reads lines into requests. Keep one per connection or thread: its buffers are used again.
///
/// - Complexity: linear in the line; on the build machine about 1 µs for a step of 64 tokens.
public final class RequestReader {
  private let limits: Limits
  private let document: JSONDocument

  public init(limits: Limits) {
    self.limits = limits
    document = JSONDocument(bytesMax: limits.lineBytesMax, depthMax: Limits.nestingMax)
  }

  /// The refusal of a line that is too long, for any content; nil for other lines.
  public func refusal(ofBytes count: Int) -> RequestLine? {
    if count <= limits.lineBytesMax { return nil }
    let error = WireError.limit(.lineBytes, max: limits.lineBytesMax, got: count, "the line")
    return .one(.failure(BadRequest(id: nil, error: error)))
  }

  /// Reads one line, without its newline. Any bytes give a result.
  public func read(_ line: RawSpan) -> RequestLine {
    if let refusal = refusal(ofBytes: line.byteCount) { return refusal }
    let root: JSONValue
    do throws(JSONDocument.SyntaxError) {
      root = try document.parse(line)
    } catch {
      let message = "the line is not JSON: \(error.reason); send one request a line, in UTF-8"
      return .one(.failure(BadRequest(id: nil, error: WireError(.parseError, message))))
    }
    var ids = NumeralIDs(line: line)
    guard root.kind == .array else { return .one(request(root, 0, &ids)) }
    let count = root.count
    if count == 0 || count > limits.batchRequestsMax {
      let error =
        count == 0
        ? WireError(.invalidRequest, "the batch is empty; it must hold at least one request")
        : WireError.limit(
          .batchRequests, max: limits.batchRequestsMax, got: count, "the batch")
      return .one(.failure(BadRequest(id: nil, error: error)))
    }
    var requests: [Result<Request, BadRequest>] = []
    requests.reserveCapacity(count)
    root.forEachElement { (place, value) in requests.append(request(value, place, &ids)) }
    return .batch(requests)
  }

  /// The texts of ids that are numbers but not integers of 64 bits; searched only in a line with
  /// such an id.
  private struct NumeralIDs: ~Escapable {
    private let line: RawSpan
    private var texts: [Int: String]?

    @_lifetime(copy line)
    init(line: RawSpan) { self.line = line }

    /// The id of a request as the line writes it.
    ///
    /// - Parameter place: The position of the request in its batch; 0 for a request alone.
    mutating func text(of place: Int) -> String? {
      let texts = texts ?? JSONNumerals.ids(in: line)
      self.texts = texts
      return texts[place]
    }
  }

  private func request(
    _ value: JSONValue, _ place: Int, _ ids: inout NumeralIDs
  ) -> Result<Request, BadRequest> {
    var id: RequestID?
    do throws(WireError) {
      guard value.kind == .object else {
        throw WireError(
          .invalidRequest,
          "a request is an object of \"jsonrpc\", \"id\", \"method\" and \"params\"")
      }
      var (version, method): (String?, String?)
      var params: JSONValue?
      // The first fault is reported last, so that the id is known by then.
      var wrong: WireError?
      value.forEachMember { (name, value) in
        switch name {
        case "jsonrpc" where version == nil: version = value.string
        case "method" where method == nil && value.kind == .string: method = value.string
        case "params" where params == nil: params = value
        case "id" where id == nil:
          id = RequestID(value)
          if value.kind == .number, let text = ids.text(of: place),
            text.utf8.count <= RequestID.bytesMax
          {
            id = .numeral(text)
          }
          if id == nil {
            wrong = WireError(
              .invalidRequest,
              "the id must be a number, a string or null, of at most \(RequestID.bytesMax) bytes")
          }
        default:
          wrong =
            wrong
            ?? WireError(
              .invalidRequest,
              "\"\(name.excerpt)\" does not belong in a request, is there twice, or is of the "
                + "wrong type; a request has \"jsonrpc\", \"id\", \"method\" and \"params\"")
        }
      }
      if let wrong { throw wrong }
      guard version == "2.0" else {
        throw WireError(.invalidRequest, "\"jsonrpc\" must be \"2.0\"")
      }
      guard let method else {
        throw WireError(.invalidRequest, "\"method\" is missing; it names the operation")
      }
      return .success(
        Request(id: id, call: try Call(method: method, params: params, limits: limits)))
    } catch {
      return .failure(BadRequest(id: id, error: error))
    }
  }
}
