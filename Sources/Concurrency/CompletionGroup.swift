/// A count of the work under way on other threads, to wait for the end of all of it.
public final class CompletionGroup: Sendable {
  // It begins with one entry, held by the creator until it waits.
  private let count = Locked(1, rank: .release)
  private let done = Promise<Void>()

  public init() {}

  public func enter() { count.withLock { $0 += 1 } }

  public func leave() {
    let isLast = count.withLock { count in
      count -= 1
      return count == 0
    }
    if isLast { done.fulfil(()) }
  }

  /// Returns when every entry has left. To be called once, by the creator.
  public func finish() async {
    leave()
    await done.value
  }
}
