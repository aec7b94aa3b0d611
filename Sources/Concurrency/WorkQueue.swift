/// A thread for work that would block others, one piece after the other.
public final class WorkQueue: Sendable {
  private struct Piece: Sendable {
    let body: @Sendable () -> Void
    let dropped: @Sendable () -> Void
  }

  private let mailbox: Mailbox<[Piece]>
  private let thread: WorkerThread

  /// - Parameter name: The thread's name, at most 15 bytes.
  public init(_ name: String, _ priority: WorkerThread.Priority = .background) {
    let mailbox = Mailbox<[Piece]>([], rank: .release)
    self.mailbox = mailbox
    thread = WorkerThread(required: name, priority) {
      while let piece = Self.next(mailbox) { piece.body() }
    }
  }

  /// Closes a queue that was not stopped. The thread ends, and waiting work is discarded silently.
  deinit { mailbox.close() }

  private static func next(_ mailbox: Mailbox<[Piece]>) -> Piece? {
    mailbox.take { pieces, isClosed in
      if isClosed { return .done(nil) }
      return pieces.isEmpty ? .sleep() : .done(pieces.removeFirst())
    }
  }

  /// Adds a piece of work after all that waits.
  ///
  /// - Parameter dropped: Called instead of `body` if the queue is stopped before it runs.
  public func run(
    _ body: @escaping @Sendable () -> Void, dropped: @escaping @Sendable () -> Void = {}
  ) {
    let piece = Piece(body: body, dropped: dropped)
    if mailbox.put({ $0.append(piece) }) == nil { dropped() }
  }

  /// Drops waiting work, and ends the thread after the piece under way. Returns when it has ended.
  public func stop() async {
    mailbox.close()
    let dropped = mailbox.update { pieces in
      let dropped = pieces
      pieces = []
      return dropped
    }
    for piece in dropped { piece.dropped() }
    await thread.ended()
  }
}
