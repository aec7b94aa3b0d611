import Synchronization

/// Says that an index met bytes which no builder writes.
///
/// Sealed indexes are read where they lie, and what lies there may have been damaged since it was
/// written. An index answers all the same, without reading outside its image and in bounded time,
/// but what it answers then means nothing. So whoever uses an answer looks at the mark first:
///
///     drafter.draft(from: indexes, matches: matches, options: options, into: &draft)
///     if mark.isSet { … }  // No answer since the mark was made can be relied upon.
///
/// One mark may be shared by any number of indexes and threads. It is set for good.
public final class DamageMark: Sendable {
  // Relaxed suffices: a thread sees what it set itself, and nothing else is read on the strength of
  // the mark.
  private let flag = Atomic<Bool>(false)

  public init() {}

  /// Whether damage was met. Costs one load.
  public var isSet: Bool { flag.load(ordering: .relaxed) }

  /// Says that damage was met, here or by a check that knows more.
  public func set() { flag.store(true, ordering: .relaxed) }

  /// A mark without ownership, so that what holds one is plain data and copying it counts nothing.
  @safe
  struct Reference {
    // SAFETY: whoever makes a reference keeps the mark alive for as long.
    private let mark: Unmanaged<DamageMark>

    init(_ mark: DamageMark) {
      unsafe self.mark = .passUnretained(mark)
    }

    /// Out of line, so that the way of sound bytes stays short.
    @inline(never)
    func set() {
      unsafe mark._withUnsafeGuaranteedRef { $0.set() }
    }
  }
}
