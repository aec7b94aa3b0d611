import Concurrency
import Glibc
import Synchronization
import UnixSocket

/// A blocking connection that exchanges lines. It shares no code with the product's client, and also
/// sends bytes that a regular client never would.
///
/// One thread may send while another one receives.
package final class LineConnection: Sendable {
  private let descriptor: Int32
  private let received: Locked<ReceivedBytes>
  private let isClosed = Atomic(false)

  /// Connects to a Unix socket.
  ///
  /// - Parameter patienceSeconds: The longest wait for the service to take or send a byte; nil to wait
  ///   without a bound.
  /// - Throws: `ToolError` if no process listens, or no descriptor is left.
  package convenience init(_ path: String, patienceSeconds: Int? = nil) throws {
    guard let address = UnixAddress(path: path) else {
      throw ToolError("\(path) is too long for a socket")
    }
    try self.init(AF_UNIX, patienceSeconds) { address.connect($0) }
  }

  /// Connects to a port of this machine.
  package convenience init(port: Int, patienceSeconds: Int? = nil) throws {
    var address = loopback(port: port)
    try self.init(AF_INET, patienceSeconds) { descriptor in
      // SAFETY: a sockaddr_in begins as a sockaddr does.
      unsafe withUnsafePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
    }
  }

  private init(_ domain: Int32, _ patienceSeconds: Int?, _ connect: (Int32) -> Int32) throws {
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    descriptor = socket(domain, type, 0)
    if descriptor < 0 { throw ToolError("no descriptor is left for a connection: error \(errno)") }
    received = Locked(ReceivedBytes(descriptor))
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
      if let patienceSeconds { set(option, timeval(tv_sec: patienceSeconds, tv_usec: 0)) }
    }
    if connect(descriptor) != 0 {
      let failure = errno
      close()
      throw ToolError("no connection: error \(failure)")
    }
  }

  private func set<Value>(_ option: Int32, _ value: Value) {
    // SAFETY: the option's value and its size.
    _ = unsafe withUnsafePointer(to: value) {
      unsafe setsockopt(descriptor, SOL_SOCKET, option, $0, socklen_t(MemoryLayout<Value>.size))
    }
  }

  deinit { close() }

  // MARK: The end

  /// Closes the connection; unread answers make it a reset.
  package func close() {
    // Once: the number may belong to another file afterwards.
    if !isClosed.exchange(true, ordering: .relaxed) { Glibc.close(descriptor) }
  }

  /// Closes the connection abruptly: unread data is lost if the transport allows that.
  package func reset() {
    set(SO_LINGER, linger(l_onoff: 1, l_linger: 0))
    close()
  }

  /// Signals that no more will be sent.
  package func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

  // MARK: Sending

  /// Sends all bytes.
  ///
  /// - Parameter secondsMax: The time after which the rest is not sent.
  /// - Returns: False if the service has closed the connection, or does not take the bytes in time.
  @discardableResult
  package func send(_ bytes: [UInt8], secondsMax: Double = .infinity) -> Bool {
    let begin = nanoseconds()
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = send(rest, Int32(MSG_NOSIGNAL))
      if count <= 0 || Double(nanoseconds() - begin) / 1e9 > secondsMax { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }

  @discardableResult
  package func send(_ text: String) -> Bool { send(Array(text.utf8)) }

  /// Sends as many bytes as the kernel takes at once.
  ///
  /// - Returns: Their number, or nil if the connection is closed.
  package func sendAvailable(_ bytes: ArraySlice<UInt8>) -> Int? {
    let count = send(bytes, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    return count >= 0 ? count : errno == EAGAIN ? 0 : nil
  }

  private func send(_ bytes: ArraySlice<UInt8>, _ flags: Int32) -> Int {
    unsafe bytes.withUnsafeBytes { bytes in
      // SAFETY: the slice's own bytes.
      unsafe Glibc.send(descriptor, bytes.baseAddress, bytes.count, flags)
    }
  }

  // MARK: Receiving

  /// Waits for the next line, and returns it without its newline.
  ///
  /// - Returns: nil if the connection has ended, or no line comes in time.
  package func receive() -> [UInt8]? {
    received.withLock { received in
      while true {
        if let line = received.takeLine() { return line }
        if received.fill() != .received { return nil }
      }
    }
  }

  /// The next line as text; see `receive`.
  package func line() -> String? { receive().map { String(decoding: $0, as: UTF8.self) } }

  /// The next bytes up to and with a delimiter; nil where the connection ends before.
  package func receive(through delimiter: [UInt8]) -> [UInt8]? {
    received.withLock { received in
      while true {
        if let bytes = received.take(through: delimiter) { return bytes }
        if received.fill() != .received { return nil }
      }
    }
  }

  /// The next bytes; nil where the connection ends before that many have come.
  package func receive(count: Int) -> [UInt8]? {
    received.withLock { received in
      while received.count < count { if received.fill() != .received { return nil } }
      return received.take(count)
    }
  }

  /// Takes a line that has been received already; nil where there is none.
  package func takeLine() -> [UInt8]? { received.withLock { $0.takeLine() } }

  /// Waits for more bytes and keeps them for `takeLine`. Returns false at the connection's end.
  package func fill() -> Bool { received.withLock { $0.fill() } == .received }

  /// True if bytes have arrived that were not received yet, or the other side has closed.
  package var hasInput: Bool {
    received.withLock { $0.count > 0 } || wait(for: POLLIN, millis: 0) != 0
  }

  /// Reads what still comes, and returns true if the connection ends within some seconds.
  package func ends(withinSeconds seconds: Int) -> Bool {
    set(SO_RCVTIMEO, timeval(tv_sec: seconds, tv_usec: 0))
    return received.withLock { received in
      while true {
        switch received.fill() {
        case .received: _ = received.take(received.count)
        case .ended: return true
        case .overdue: return false
        }
      }
    }
  }

  /// Waits until one of some events of poll(2) has happened.
  ///
  /// - Returns: The events that have happened; 0 when the time is over.
  package func wait(for events: Int32, millis: Int32) -> Int32 {
    var state = pollfd(fd: descriptor, events: Int16(events), revents: 0)
    return unsafe poll(&state, 1, millis) == 0 ? 0 : Int32(state.revents)
  }
}

/// The address of a port of this machine; of any free port for 0.
package func loopback(port: Int) -> sockaddr_in {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = in_port_t(port).bigEndian
  address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
  return address
}

/// The bytes that a socket has received and that are not taken yet.
private struct ReceivedBytes {
  private let descriptor: Int32
  /// Its middle, from `start` to `end`, is what was received.
  private var buffer = [UInt8](repeating: 0, count: 1 << 16)
  private var start = 0
  private var end = 0
  /// The place up to which there is no newline.
  private var searched = 0

  enum Outcome { case received, ended, overdue }

  init(_ descriptor: Int32) { self.descriptor = descriptor }

  var count: Int { end - start }

  /// Receives what is there, and waits for it.
  mutating func fill() -> Outcome {
    makeRoom()
    let count = unsafe buffer.withUnsafeMutableBytes { [end, descriptor] buffer in
      // SAFETY: stays inside the buffer, which has room behind `end`.
      unsafe recv(descriptor, buffer.baseAddress! + end, buffer.count - end, 0)
    }
    if count > 0 { end += count }
    return count > 0 ? .received : count < 0 && errno == EAGAIN ? .overdue : .ended
  }

  private mutating func makeRoom() {
    if start == end { (start, end, searched) = (0, 0, 0) }
    if end < buffer.count { return }
    if start > buffer.count / 2 {
      buffer.replaceSubrange(0..<count, with: buffer[start..<end])
      (start, end, searched) = (0, count, searched - start)
    } else {
      buffer += [UInt8](repeating: 0, count: buffer.count)
    }
  }

  mutating func takeLine() -> [UInt8]? {
    let from = max(start, searched)
    let newline = unsafe buffer.withUnsafeBytes { [end] buffer -> Int? in
      guard let base = buffer.baseAddress, from < end else { return nil }
      // SAFETY: searches inside the buffer.
      return unsafe memchr(base + from, 10, end - from).map { unsafe UnsafeRawPointer($0) - base }
    }
    guard let newline else {
      searched = end
      return nil
    }
    defer { start = newline + 1 }
    return Array(buffer[start..<newline])
  }

  mutating func take(_ count: Int) -> [UInt8] {
    defer { start += count }
    return Array(buffer[start..<(start + count)])
  }

  mutating func take(through delimiter: [UInt8]) -> [UInt8]? {
    let bytes = buffer[start..<end]
    guard let found = bytes.indices.first(where: { bytes[$0...].starts(with: delimiter) }) else {
      return nil
    }
    return take(found + delimiter.count - start)
  }
}
