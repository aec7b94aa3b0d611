import Glibc

/// A lock for critical sections of microseconds: a thread that finds it taken tries again for a
/// moment before sleeping, because sleeping and waking up take longer than the wait.
///
/// Thread sanitizer recognises it; it does not recognise the standard library's Mutex.
@safe
final class AdaptiveLock: @unchecked Sendable {
  // SAFETY: allocated and initialised in `init`, destroyed and freed in `deinit`, never moved.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>

  init() {
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    var attributes = pthread_mutexattr_t()
    unsafe pthread_mutexattr_init(&attributes)
    unsafe pthread_mutexattr_settype(&attributes, Int32(PTHREAD_MUTEX_ADAPTIVE_NP))
    unsafe pthread_mutex_init(mutex, &attributes)
    unsafe pthread_mutexattr_destroy(&attributes)
  }

  deinit {
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
  }

  @inline(__always)
  func withLock<Result: ~Copyable>(_ body: () -> Result) -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return body()
  }
}
