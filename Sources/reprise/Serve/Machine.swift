import ArgumentParser
import CLinux
import CorpusStore
import Foundation

/// What this machine, and whoever started this process, let it have.
enum Machine {
  /// Bytes of memory: the machine's, or what the control group allows where that is less.
  static var memoryBytes: Int {
    min(Int(ProcessInfo.processInfo.physicalMemory), ControlGroup().limit ?? .max)
  }

  /// Bytes of memory that `reprise serve` takes at most, where nothing else is said, and commands that
  /// open a store themselves: eight tenths, because the kernel's part and the page cache count as well.
  static var memoryBytesDefault: Int { max(1 << 20, memoryBytes / 10 * 8) }

  /// The memory of a command that may run beside a service in the same control group.
  static func memoryBesideOthers() -> MemoryBudget {
    // What this process has already is among what the group has.
    let left = ControlGroup().bytesLeft(ofTenths: 8).map { $0 + anonymousBytes() } ?? .max
    return MemoryBudget(limit: min(memoryBytesDefault, left))
  }

  /// Cores that this process may use.
  static var cores: Int { Int(count_cores()) }

  /// Leaves event loops, which are still to be made, all cores but the last few, and everything else those.
  ///
  /// - Parameter count: Fewer than there are.
  static func keepCores(forBackground count: Int) throws(ExitCode) {
    if keep_cores_for_others(Int32(count)) == 0 { return }
    throw ExitCode(
      78,
      saying:
        "background_cores is \(count), but threads cannot be kept to cores here: "
        + "\(unsafe String(cString: strerror(errno))); leave it out, or allow sched_setaffinity")
  }

  /// Raises this process's limit of open files as far as it may go, and returns it.
  @discardableResult
  static func raiseFileLimit() -> Int {
    var limit = rlimit()
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    unsafe getrlimit(resource, &limit)
    if limit.rlim_cur < limit.rlim_max {
      limit.rlim_cur = limit.rlim_max
      unsafe setrlimit(resource, &limit)
      unsafe getrlimit(resource, &limit)
    }
    return limit.rlim_cur > rlim_t(Int32.max) ? Int(Int32.max) : Int(limit.rlim_cur)
  }
}
