import Foundation

/// A plain socket, for bytes that a regular client would never send.
final class HostileSocket {
  private var descriptor: Int32
  private var received = ArraySlice<UInt8>()
  private var buffer = [UInt8](repeating: 0, count: 1 << 16)

  /// No call here takes longer, unless the service is stuck.
  private static let patienceMillis: Int32 = 60_000

  init(_ path: String) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    // SAFETY: sockets of tests and benchmarks have paths that are shorter than `sun_path`.
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
    let status = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        unsafe Glibc.connect(descriptor, address, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    if status != 0 { throw Hostility("cannot connect: \(errno)") }
  }

  deinit { leave() }

  /// Closes the connection; unread answers make it a reset.
  func leave() {
    if descriptor >= 0 { close(descriptor) }
    descriptor = -1
  }

  /// Closes the connection abruptly: unread data is lost if the transport allows that.
  func reset() {
    var lingering = linger(l_onoff: 1, l_linger: 0)
    unsafe setsockopt(
      descriptor, SOL_SOCKET, SO_LINGER, &lingering, socklen_t(MemoryLayout<linger>.size))
    leave()
  }

  /// Signals that nothing more will be sent.
  func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

  // MARK: Sending

  /// Sends without reading. Returns false if the service has closed the connection.
  @discardableResult
  func send(_ text: String) throws -> Bool {
    var unsent = Array(text.utf8)[...]
    while !unsent.isEmpty {
      guard try wait(for: POLLOUT) & (POLLHUP | POLLERR) == 0 else { return false }
      let count = sendNow(unsent)
      if count < 0 { return false }
      unsent = unsent.dropFirst(count)
    }
    return true
  }

  /// Sends as much as possible. Returns the number of bytes; negative if the connection is closed.
  private func sendNow(_ bytes: ArraySlice<UInt8>) -> Int {
    let count = unsafe bytes.withUnsafeBytes { bytes in
      unsafe Glibc.send(
        descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    }
    return count < 0 && errno == EAGAIN ? 0 : count
  }

  /// Waits for events on the socket.
  ///
  /// - Returns: The events that occurred; never none.
  private func wait(for events: Int32) throws -> Int32 {
    var state = pollfd(fd: descriptor, events: Int16(events), revents: 0)
    let ready = unsafe poll(&state, 1, Self.patienceMillis)
    if ready == 0 { throw Hostility("the service is stuck") }
    return Int32(state.revents)
  }

  // MARK: Receiving

  /// Sends one line or several, and reads at the same time; then makes a harmless request, to see
  /// whether the connection is still served.
  ///
  /// - Parameter answers: The expected number; nil for one a line.
  func ask(_ lines: String, answers: Int? = nil) throws -> Outcome {
    try ask(Array(lines.utf8), answers: answers)
  }

  func ask(_ lines: [UInt8], answers: Int? = nil) throws -> Outcome {
    let end = request("health.live", id: "\"end\"")
    return try exchange(
      lines + Array("\n\(end)\n".utf8),
      answers: answers ?? lines.count { $0 == UInt8(ascii: "\n") } + 1
    ).outcome
  }

  /// Sends all bytes, and reads until the connection is closed, or until the expected number of
  /// answers and the one to "end" have arrived.
  func exchange(_ bytes: [UInt8], answers expected: Int = .max) throws -> Answers {
    var hasEnd = false
    var unsent = bytes[...]
    var answers = Answers()
    while true {
      let events = try wait(for: unsent.isEmpty ? POLLIN : POLLIN | POLLOUT)
      if events & POLLIN != 0 {
        guard receive() else {
          answers.isClosed = true
          return answers
        }
        while let line = takeLine() {
          if line.starts(with: Self.end) { hasEnd = true } else { answers.add(line) }
        }
        if hasEnd && answers.count >= expected { return answers }
      } else if events & (POLLHUP | POLLERR) != 0 {
        answers.isClosed = true
        return answers
      }
      if events & POLLOUT != 0 && !unsent.isEmpty {
        // Bytes that cannot be sent any more are dropped: answers can still be read.
        let count = sendNow(unsent)
        unsent = count < 0 ? [] : unsent.dropFirst(count)
      }
    }
  }

  private static let end = Array("{\"jsonrpc\":\"2.0\",\"id\":\"end\"".utf8)

  /// Reads until the service closes the connection.
  func untilClosed() throws -> Outcome { try exchange([]).outcome }

  /// Reads one line; nil if the connection is closed.
  func line() throws -> String? {
    while true {
      if let line = takeLine() { return String(decoding: line, as: UTF8.self) }
      guard try wait(for: POLLIN) & POLLIN != 0, receive() else { return nil }
    }
  }

  /// Receives available bytes. Returns false at the end.
  private func receive() -> Bool {
    let count = unsafe buffer.withUnsafeMutableBytes { buffer in
      unsafe recv(descriptor, buffer.baseAddress, buffer.count, 0)
    }
    if count <= 0 { return false }
    received += buffer[..<count]
    return true
  }

  /// The number of bytes of `received` that are known to have no newline.
  private var searched = 0

  private func takeLine() -> ArraySlice<UInt8>? {
    let rest = received.dropFirst(searched)
    guard let newline = rest.firstIndex(of: UInt8(ascii: "\n")) else {
      searched = received.count
      // The slice would keep removed bytes in memory.
      if received.startIndex > 1 << 20 { received = Array(received)[...] }
      return nil
    }
    searched = 0
    defer { received = received[(newline + 1)...] }
    return received[..<newline]
  }
}

/// The received answers, counted but not kept.
struct Answers {
  private(set) var count = 0
  private(set) var results = 0
  private(set) var errors: Set<String> = []
  /// The length of the longest error.
  private var errorBytes = 0
  var isClosed = false

  /// The bound of the length of any error.
  private static let errorBytesMax = 1000

  mutating func add(_ line: ArraySlice<UInt8>) {
    count += 1
    let kinds = Self.kinds(in: line)
    if kinds.isEmpty { results += 1 }
    errors.formUnion(kinds)
    // Errors among drafts have no line of their own.
    if !kinds.isEmpty && !String(decoding: line.prefix(64), as: UTF8.self).contains("result") {
      errorBytes = max(errorBytes, line.count / kinds.count)
    }
  }

  /// The kind of each error in a line, with the limit that it is about.
  private static func kinds(in line: ArraySlice<UInt8>) -> [String] {
    var kinds: [String] = []
    var rest = line
    while let kind = takeValue("kind\":\"", from: &rest) {
      var data = rest.prefix { $0 != UInt8(ascii: "}") }
      let limit = kind == "limit_exceeded" ? takeValue("limit\":\"", from: &data) : nil
      kinds.append(limit.map(Outcome.limitExceeded) ?? kind)
    }
    return kinds
  }

  /// Finds a member and returns its text, which has no quotes.
  private static func takeValue(_ name: StaticString, from rest: inout ArraySlice<UInt8>) -> String?
  {
    let found = unsafe rest.withUnsafeBytes { bytes -> Int? in
      guard let base = bytes.baseAddress else { return nil }
      var searched = 0
      // SAFETY: searches and compares within the bytes.
      while bytes.count - searched >= name.utf8CodeUnitCount,
        let first = unsafe memchr(
          base + searched, Int32(name.utf8Start.pointee), bytes.count - searched)
      {
        searched = unsafe UnsafeRawPointer(first) - base
        if bytes.count - searched < name.utf8CodeUnitCount { return nil }
        if unsafe memcmp(first, name.utf8Start, name.utf8CodeUnitCount) == 0 { return searched }
        searched += 1
      }
      return nil
    }
    guard let found else { return nil }
    rest = rest.dropFirst(found + name.utf8CodeUnitCount)
    return String(decoding: rest.prefix { $0 != UInt8(ascii: "\"") }, as: UTF8.self)
  }

  var outcome: Outcome {
    if errorBytes > Self.errorBytesMax { return .other("an error of \(errorBytes) bytes") }
    if let error = errors.first, errors.count == 1, results == 0 {
      return isClosed ? .answeredAndClosed(error) : .answered(error)
    }
    if errors.isEmpty && results > 0 && !isClosed { return .served }
    if errors.isEmpty && results == 0 { return isClosed ? .closed : .gone }
    return .other("\(results) results, \(errors.sorted())\(isClosed ? ", closed" : "")")
  }
}
