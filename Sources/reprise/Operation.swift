import Concurrency

/// Called on any thread with the progress of long work: bytes or tokens done, and in all.
typealias OperationProgress = @Sendable (_ done: Int, _ total: Int) -> Void

/// Runs long work, and shows on a terminal that it continues: with a bar if the work reports its
/// progress, otherwise with a turning sign.
func showingProgress<Value: Sendable>(
  _ title: String, _ body: (@escaping OperationProgress) async throws -> Value
) async throws -> Value {
  let latest = LatestProgress()
  let drawing = Task {
    let bar = ProgressBar(title)
    var frame = 0
    while !Task.isCancelled {
      let fraction = latest.fraction
      bar.show(fraction, fraction == nil ? turningSign[frame % turningSign.count] : "")
      frame += 1
      try? await Task.sleep(for: .milliseconds(110))
    }
    bar.finish()
  }
  let result: Result<Value, any Error>
  do {
    result = .success(try await body { latest.set(done: $0, total: $1) })
  } catch {
    result = .failure(error)
  }
  drawing.cancel()
  await drawing.value
  return try result.get()
}

private let turningSign = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]

private final class LatestProgress: Sendable {
  private let latest = Locked<(done: Int, total: Int)?>(nil)

  func set(done: Int, total: Int) { latest.withLock { $0 = (done, total) } }

  /// nil if no progress was reported yet.
  var fraction: Double? {
    latest.withLock { $0.map { Double($0.done) / Double(max($0.total, 1)) } }
  }
}

/// Runs blocking work on a thread where it delays nothing else.
func onThread<Value: Sendable>(
  _ body: @escaping @Sendable () throws -> Value
) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    let call: @Sendable () -> Void = { continuation.resume(with: Result(catching: body)) }
    // Without another thread, this one does the work.
    if (try? WorkerThread("reprise-call", .ordinary, call)) == nil { call() }
  }
}
