import Glibc

/// The locks of the product, in the order in which one thread may take them.
///
/// A thread takes only locks of a higher rank than those that it holds, so no two threads can each wait
/// for a lock of the other. Debug builds assert it. docs/internals/concurrency.md has a table of them.
public enum LockRank: Int, CaseIterable, Sendable {
  // Held while a change of the history is prepared and carried out: for seconds. The thread may wait
  // for others meanwhile.
  case corpora
  case copies
  case copiesOfOther
  case segments
  case parts

  // Held for microseconds. The thread waits for nothing meanwhile.
  case access
  case sessionTable
  case parkedSessions
  case session
  case writer
  case corpus
  case compaction
  /// All locks under which no other one is taken, except by a deinitialiser.
  case leaf
  /// Locks that deinitialisers take. A last reference may be released under any other lock.
  case release

  /// True if a thread may wait for another one while it holds the lock.
  var isHeldLong: Bool { self < .access }
}

extension LockRank: Comparable {
  public static func < (one: Self, other: Self) -> Bool { one.rawValue < other.rawValue }
}

/// The ranks of the locks that the calling thread holds. For assertions, so every function returns true.
public enum HeldRanks {
  /// Holds a bit for each rank in place of a pointer, so that nothing is allocated.
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    let status = unsafe pthread_key_create(&key, nil)
    precondition(status == 0, "no thread-specific value is left for the ranks of locks")
    return key
  }()

  private static var bits: UInt {
    get { unsafe UInt(bitPattern: pthread_getspecific(key)) }
    set { _ = unsafe pthread_setspecific(key, UnsafeRawPointer(bitPattern: newValue)) }
  }

  private static var highest: LockRank? {
    LockRank(rawValue: UInt.bitWidth - 1 - bits.leadingZeroBitCount)
  }

  /// Notes that a lock is about to be taken.
  public static func add(_ rank: LockRank) -> Bool {
    if let highest, highest >= rank {
      preconditionFailure("lock \(rank) is taken while \(highest) is held; see LockRank")
    }
    bits |= 1 << UInt(rank.rawValue)
    return true
  }

  /// Notes that a lock was released.
  public static func remove(_ rank: LockRank) -> Bool {
    bits &= ~(1 << UInt(rank.rawValue))
    return true
  }

  /// Notes that the thread is about to sleep until another one wakes it.
  ///
  /// - Parameter rank: The lock that it releases meanwhile.
  public static func sleep(releasing rank: LockRank) -> Bool {
    _ = remove(rank)
    if let highest, !highest.isHeldLong {
      preconditionFailure("a thread waits under lock \(rank) while it holds \(highest)")
    }
    return add(rank)
  }
}
