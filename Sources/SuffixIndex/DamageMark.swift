import Synchronization

/// A flag that is set when an index meets bytes which no builder writes.
///
/// Sealed indexes are read where they lie, and the bytes there may have been damaged since they
/// were written. An index answers all the same, in bounded time and without reading outside its
/// image, but its answers are then meaningless. Check the mark before using an answer:
///
///     drafter.draft(from: indexes, matches: matches, options: options, into: &draft)
///     if mark.isSet { … }  // No answer since the mark was created can be relied upon.
///
/// One mark may be shared by any number of indexes and threads. Once set, it stays set.
public final class DamageMark: Sendable {
  // Relaxed ordering suffices: a thread sees its own writes, and no other memory is read because of
  // the mark's value.
  private let flag = Atomic<Bool>(false)

  public init() {}

  /// True if damage was met. Costs one load.
  public var isSet: Bool { flag.load(ordering: .relaxed) }

  /// Records damage, met by an index or by a check from outside.
  public func set() { flag.store(true, ordering: .relaxed) }

  /// A reference without ownership, so that a struct that holds it is plain data and copying it
  /// counts no references.
  @safe
  struct Reference {
    // SAFETY: the creator of a reference keeps the mark alive for as long as it is used.
    private let mark: Unmanaged<DamageMark>

    init(_ mark: DamageMark) {
      unsafe self.mark = .passUnretained(mark)
    }

    /// Out of line, so that the path for sound bytes stays short.
    @inline(never)
    func set() {
      unsafe mark._withUnsafeGuaranteedRef { $0.set() }
    }
  }
}
