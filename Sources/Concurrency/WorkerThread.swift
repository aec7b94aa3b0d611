import CLinux
import Glibc

/// A thread that runs one function and ends with it.
///
/// The kernel gives it short time slices, so that a thread that is woken beside it waits for little.
public final class WorkerThread: Sendable {
  public enum Priority: Sendable {
    /// The priority of threads that answer.
    case ordinary
    /// The priority of long work: if cores are scarce, other threads come first (niceness 10).
    case background

    fileprivate var niceness: Int32 {
      switch self {
      case .ordinary: 0
      case .background: 10
      }
    }
  }

  /// The system lets the process, its user or its control group have no more threads.
  public struct Refusal: Error {
    /// The error's number: EAGAIN.
    public let code: Int32
  }

  private let end = Promise<Void>()

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - name: The name that ps and top show, at most 15 bytes.
  ///   - body: The thread's work. The thread keeps what it captures until it returns.
  public init(
    _ name: String, _ priority: Priority, _ body: sending @escaping () -> Void
  ) throws(Refusal) {
    let start = unsafe Unmanaged.passRetained(Start(name, priority, end, body))
    var thread = pthread_t()
    let status = unsafe pthread_create(
      &thread, nil,
      { start in
        guard let start = unsafe start else { return nil }
        // SAFETY: it was retained for this thread.
        unsafe Unmanaged<Start>.fromOpaque(start).takeRetainedValue().run()
        return nil
      }, start.toOpaque())
    if status != 0 {
      unsafe start.release()
      throw Refusal(code: status)
    }
    pthread_detach(thread)
  }

  /// Starts a thread without which the process cannot work. If it is refused, the process ends.
  public convenience init(
    required name: String, _ priority: Priority, _ body: sending @escaping () -> Void
  ) {
    do throws(Refusal) {
      try self.init(name, priority, body)
    } catch {
      fatalError("thread \(name) could not be started: error \(error.code)")
    }
  }

  /// Blocks the calling thread until this one has ended.
  public func waitForEnd() { end.wait() }

  /// Returns when the thread has ended.
  public func ended() async { await end.value }
}

/// The beginning of a thread: its name, priority and work.
private final class Start {
  private let name: String
  private let priority: WorkerThread.Priority
  private let end: Promise<Void>
  private var body: (() -> Void)?

  init(
    _ name: String, _ priority: WorkerThread.Priority, _ end: Promise<Void>,
    _ body: @escaping () -> Void
  ) {
    self.name = name
    self.priority = priority
    self.end = end
    self.body = body
  }

  func run() {
    unsafe use_short_time_slices(name, priority.niceness)
    body?()
    // Everything that the body keeps is freed before the end is known to others.
    body = nil
    end.fulfil(())
  }
}
