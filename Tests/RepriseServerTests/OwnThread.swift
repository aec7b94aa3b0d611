import Concurrency
import Foundation

/// Runs `body`, which may block, on a thread of its own: concurrent tests share as many threads as
/// the machine has cores, and a test that blocks such a thread delays the others.
///
/// - Throws: The error of `body`, or `Overdue` when it has not ended after `secondsMax`; its thread
///   then continues.
func onOwnThread<Value: Sendable>(
  secondsMax: Double = 60, _ body: @escaping @Sendable () throws -> Value
) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    let finish = Finish(continuation)
    Thread.detachNewThread { finish(Result { try body() }) }
    DispatchQueue.global().asyncAfter(deadline: .now() + secondsMax) {
      finish(.failure(Overdue(seconds: secondsMax)))
    }
  }
}

struct Overdue: Error, CustomStringConvertible {
  let seconds: Double
  var description: String { "not done after \(seconds) s" }
}

/// Resumes a continuation with the first result.
private final class Finish<Value: Sendable>: Sendable {
  private let continuation: Locked<CheckedContinuation<Value, any Error>?>

  init(_ continuation: CheckedContinuation<Value, any Error>) {
    self.continuation = Locked(continuation)
  }

  func callAsFunction(_ result: Result<Value, any Error>) {
    let taken = continuation.withLock { continuation in
      defer { continuation = nil }
      return continuation
    }
    taken?.resume(with: result)
  }
}

/// Admits a few tests at a time; the others wait in the order in which they came, without blocking.
actor Gate {
  private var free: Int
  private var waiting: [CheckedContinuation<Void, Never>] = []

  init(_ count: Int) { free = count }

  func enter() async {
    if free > 0 {
      free -= 1
    } else {
      await withCheckedContinuation { waiting.append($0) }
    }
  }

  func leave() {
    if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
  }
}
