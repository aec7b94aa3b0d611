import CLMDB
import Concurrency

/// Read transactions of this and of other processes. Each has a slot in the lock file, and the
/// pages that it can see are not used again before it ends.
extension Environment {
  /// A reader slot.
  public struct Reader: Equatable, Sendable {
    /// The id of the process that owns the slot.
    public let process: Int32
    /// The transaction whose state is being read; nil for a slot that is not in use now.
    public let transaction: Int?
  }

  /// All reader slots that processes have, this one included; none once the environment is closed.
  public func readers() -> [Reader] {
    isOpen.withLock { isOpen in isOpen ? readersWhileOpen() : [] }
  }

  private func readersWhileOpen() -> [Reader] {
    var readers: [Reader] = []
    unsafe withUnsafeMutablePointer(to: &readers) { readers in
      // The text is a heading, then lines of process, thread and transaction; "-" for a slot
      // without one.
      _ = unsafe mdb_reader_list(
        handle,
        { line, context in
          guard let line = unsafe line, let context = unsafe context else { return 0 }
          let words = unsafe String(cString: line).split(whereSeparator: \.isWhitespace)
          if words.count == 3, let process = Int32(words[0]) {
            let readers = unsafe context.assumingMemoryBound(to: [Reader].self)
            unsafe readers.pointee.append(Reader(process: process, transaction: Int(words[2])))
          }
          return 0
        }, readers)
    }
    return readers
  }

  /// Frees the slots of processes that ended without ending their transactions. While such a slot is
  /// taken, no page that was freed after its transaction began is used again. LMDB itself looks for
  /// these slots only when all slots are taken.
  ///
  /// - Returns: The number of slots that were freed.
  /// - Complexity: One system call for each other process that has a slot.
  @discardableResult
  public func freeSlotsOfDeadProcesses() throws(LMDBError) -> Int {
    try isOpen.withLock { (isOpen) throws(LMDBError) in
      var freed: Int32 = 0
      if isOpen { try check(unsafe mdb_reader_check(handle, &freed)) }
      return Int(freed)
    }
  }

  /// The oldest transaction that is being read; the largest number if there is none.
  ///
  /// - Precondition: the environment stays open meanwhile.
  func oldestRead() -> Int { readersWhileOpen().compactMap(\.transaction).min() ?? .max }
}
