import Glibc

/// A value that is reached under its lock alone, and the way to wait until it changes.
///
///     let state = Locked(State(), rank: .session)
///     let count = state.withLock { state in
///       state.count += 1
///       return state.count
///     }
///
/// The lock is an adaptive mutex: a thread that finds it taken tries again for a moment before it
/// sleeps, because sleeping and waking up take longer than most locks are held. Thread sanitizer
/// recognises it; it does not recognise the standard library's Mutex. It is not fair.
///
/// Values enter and leave the lock disconnected from all others (`sending`), so the compiler proves
/// that no reference into the guarded value exists outside.
@safe
public final class Locked<Value: ~Copyable>: @unchecked Sendable {
  // Unchecked: `value` is reached while `mutex` is held, and by nothing else.
  // SAFETY: the three are allocated and initialised in `init`, destroyed and freed in `deinit`, and
  // never moved between.
  @usableFromInline let mutex: UnsafeMutablePointer<pthread_mutex_t>
  @usableFromInline let condition: UnsafeMutablePointer<pthread_cond_t>
  @usableFromInline let value: UnsafeMutablePointer<Value>
  @usableFromInline let rank: LockRank

  public init(_ value: consuming sending Value, rank: LockRank = .leaf) {
    self.rank = rank
    unsafe self.value = .allocate(capacity: 1)
    unsafe self.value.initialize(to: value)
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    var kind = pthread_mutexattr_t()
    unsafe pthread_mutexattr_init(&kind)
    unsafe pthread_mutexattr_settype(&kind, Int32(PTHREAD_MUTEX_ADAPTIVE_NP))
    unsafe pthread_mutex_init(mutex, &kind)
    unsafe pthread_mutexattr_destroy(&kind)
    unsafe condition = .allocate(capacity: 1)
    unsafe condition.initialize(to: pthread_cond_t())
    // The wall clock, which waits go by otherwise, may be stepped back, and they would last longer.
    var clock = pthread_condattr_t()
    unsafe pthread_condattr_init(&clock)
    unsafe pthread_condattr_setclock(&clock, CLOCK_MONOTONIC)
    unsafe pthread_cond_init(condition, &clock)
    unsafe pthread_condattr_destroy(&clock)
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe condition.deallocate()
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
    unsafe value.deinitialize(count: 1)
    unsafe value.deallocate()
  }

  /// Calls `body` with the value, under the lock.
  @inlinable @inline(__always)
  public func withLock<Result: ~Copyable, Failure: Error>(
    _ body: (inout sending Value) throws(Failure) -> sending Result
  ) throws(Failure) -> sending Result {
    lock()
    defer { unlock() }
    return try unsafe body(&value.pointee)
  }

  /// Calls `body` as above, with a value that enters the lock.
  @inlinable @inline(__always)
  public func withLock<Moved, Result: ~Copyable, Failure: Error>(
    moving moved: consuming sending Moved,
    _ body: (inout sending Value, consuming sending Moved) throws(Failure) -> sending Result
  ) throws(Failure) -> sending Result {
    lock()
    defer { unlock() }
    return try unsafe body(&value.pointee, moved)
  }

  @inlinable @inline(__always)
  func lock() {
    assert(HeldRanks.add(rank))
    unsafe pthread_mutex_lock(mutex)
  }

  @inlinable @inline(__always)
  func unlock() {
    unsafe pthread_mutex_unlock(mutex)
    assert(HeldRanks.remove(rank))
  }
}

/// A thread's decision under a lock: to end its wait, or to sleep.
public enum Wait<Result: ~Copyable>: ~Copyable {
  /// Ends the wait with a result.
  case done(Result)
  /// Looks again after the next wake-up, at the latest after the given time.
  case sleep(atMost: Duration? = nil)
}

extension Wait<Bool> {
  /// Waits for a condition until a deadline. The result is true if it holds.
  public init(
    for condition: Bool, until deadline: ContinuousClock.Instant,
    at now: ContinuousClock.Instant = .now
  ) {
    self =
      condition ? .done(true) : now >= deadline ? .done(false) : .sleep(atMost: deadline - now)
  }
}

extension Wait: Sendable where Result: Sendable, Result: ~Copyable {}

extension Locked where Value: ~Copyable {
  /// Calls `body` with the value, under the lock, until it is done. Between two calls the lock is
  /// released, and the thread sleeps until `wakeAll` is called or the time that `body` gave is over;
  /// it may wake earlier.
  ///
  /// Times go by the monotonic clock.
  public func wait<Result: ~Copyable, Failure: Error>(
    _ body: (inout sending Value) throws(Failure) -> sending Wait<Result>
  ) throws(Failure) -> sending Result {
    lock()
    defer { unlock() }
    while true {
      switch try unsafe body(&value.pointee) {
      case .done(let result): return result
      case .sleep(let time):
        assert(HeldRanks.sleep(releasing: rank))
        if let time { sleep(atMost: time) } else { unsafe pthread_cond_wait(condition, mutex) }
      }
    }
  }

  /// Waits until a condition of the value holds.
  public func waitUntil(_ condition: (borrowing Value) -> Bool) {
    wait { (value) -> Wait<Void> in condition(value) ? .done(()) : .sleep() }
  }

  /// Changes the value under the lock, then wakes all threads that wait.
  public func wakeAll<Result: ~Copyable, Failure: Error>(
    after body: (inout sending Value) throws(Failure) -> sending Result
  ) throws(Failure) -> sending Result {
    defer { unsafe pthread_cond_broadcast(condition) }
    return try withLock(body)
  }

  /// Wakes all threads that wait, because of a change elsewhere that they look at.
  public func wakeAll() {
    // Without the lock, a thread that has looked and does not sleep yet would miss it.
    lock()
    unsafe pthread_cond_broadcast(condition)
    unlock()
  }

  private func sleep(atMost time: Duration) {
    if time <= .zero { return }
    var end = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &end)
    // A longer sleep ends early, which callers must expect in any case.
    let (seconds, attoseconds) = min(time, .seconds(86_400)).components
    end.tv_sec += Int(seconds)
    end.tv_nsec += Int(attoseconds / 1_000_000_000)
    if end.tv_nsec >= 1_000_000_000 {
      end.tv_nsec -= 1_000_000_000
      end.tv_sec += 1
    }
    unsafe pthread_cond_timedwait(condition, mutex, &end)
  }
}
