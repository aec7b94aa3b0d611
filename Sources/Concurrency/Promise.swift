/// A value that one thread sets once, and others wait for.
public final class Promise<Value: Sendable>: Sendable {
  private struct State {
    var value: Value?
    var continuations: [CheckedContinuation<Value, Never>] = []
  }

  private let state = Locked(State(), rank: .release)

  public init() {}

  /// Sets the value. Later values are ignored.
  public func fulfil(_ value: Value) {
    let continuations = state.wakeAll(after: { state in
      if state.value != nil { return [CheckedContinuation<Value, Never>]() }
      state.value = value
      let continuations = state.continuations
      state.continuations = []
      return continuations
    })
    for continuation in continuations { continuation.resume(returning: value) }
  }

  /// Blocks the thread until the value is set.
  public func wait() -> Value {
    state.wait { state in state.value.map { .done($0) } ?? .sleep() }
  }

  /// The value, as soon as it is set. Blocks no thread.
  public var value: Value {
    get async {
      await withCheckedContinuation { continuation in
        let known = state.withLock { state in
          if state.value == nil { state.continuations.append(continuation) }
          return state.value
        }
        if let known { continuation.resume(returning: known) }
      }
    }
  }
}
