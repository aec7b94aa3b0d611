import RepriseModel
import WireProtocol

// Any bytes as a line. What is read as a request must be the same request when it is written and read
// again. Of a row that is refused nothing is kept but the reason, so that a request with such rows is written
// with other rows in their places.

// The fuzzer has one thread.
nonisolated(unsafe) private let reader = RequestReader(limits: Limits())
nonisolated(unsafe) private let again = RequestReader(limits: Limits())

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
  let bytes = [UInt8](UnsafeBufferPointer(start: data, count: size))
  switch reader.read(bytes.span.bytes) {
  case .one(let request): check(request)
  case .batch(let requests): requests.forEach(check)
  }
  return 0
}

private func check(_ request: Result<Request, BadRequest>) {
  guard case .success(let request) = request else { return }
  var writer = JSONWriter()
  request.write(to: &writer)
  let line = Array(writer.bytes.dropLast())
  guard case .one(.success(let second)) = again.read(line.span.bytes), second.id == request.id,
    second.call == request.call || !request.call.refusals.isEmpty
  else { fatalError("not the same when it is read again: \(String(decoding: line, as: UTF8.self))") }
}
