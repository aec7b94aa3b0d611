import Glibc

/// A mutex and a condition variable whose timed waits use CLOCK_MONOTONIC.
///
/// `NSCondition.wait(until:)` uses the wall clock: if that is stepped back by an hour, it waits an
/// hour longer.
@safe
final class MonotonicCondition: @unchecked Sendable {
  // SAFETY: allocated and initialised in `init`, destroyed and freed in `deinit`, never moved.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>

  init() {
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe pthread_mutex_init(mutex, nil)
    unsafe condition = .allocate(capacity: 1)
    unsafe condition.initialize(to: pthread_cond_t())
    var attributes = pthread_condattr_t()
    unsafe pthread_condattr_init(&attributes)
    unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    unsafe pthread_cond_init(condition, &attributes)
    unsafe pthread_condattr_destroy(&attributes)
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe condition.deallocate()
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
  }

  func withLock<Result>(_ body: () -> Result) -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return body()
  }

  /// Releases the lock, which the caller holds, until another thread signals. Spurious wake-ups are
  /// possible.
  func wait() { unsafe pthread_cond_wait(condition, mutex) }

  /// Waits as above, but no longer than `duration`. A duration of zero or less returns at once.
  func wait(atMost duration: Duration) {
    if duration <= .zero { return }
    var end = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &end)
    // Longer waits end early, which callers must expect anyway.
    let (seconds, attoseconds) = min(duration, .seconds(86_400)).components
    end.tv_sec += Int(seconds)
    end.tv_nsec += Int(attoseconds / 1_000_000_000)
    if end.tv_nsec >= 1_000_000_000 {
      end.tv_nsec -= 1_000_000_000
      end.tv_sec += 1
    }
    unsafe pthread_cond_timedwait(condition, mutex, &end)
  }

  func signal() { unsafe pthread_cond_signal(condition) }
  func broadcast() { unsafe pthread_cond_broadcast(condition) }
}
