import ArgumentParser
import CLinux
import CorpusStore
import Foundation
import SystemPackage

/// The resources that this machine, and the supervisor of this process, allow it.
enum Machine {
  /// Bytes of memory: the machine's, or the control group's limit if that is lower.
  static var memoryBytes: Int {
    min(Int(ProcessInfo.processInfo.physicalMemory), ControlGroup().limit ?? .max)
  }

  /// The default limit of memory in bytes, for `reprise serve` and for commands that open a store
  /// themselves: eight tenths, because the kernel's memory and the page cache count as well.
  static var memoryBytesDefault: Int { max(1 << 20, memoryBytes / 10 * 8) }

  /// The memory of a command that may run beside a service in the same control group.
  static func memoryBesideOthers() -> MemoryBudget {
    // The group's use includes that of this process.
    let left = ControlGroup().bytesLeft(ofTenths: 8).map { $0 + anonymousBytes() } ?? .max
    return MemoryBudget(limit: min(memoryBytesDefault, left))
  }

  /// The number of cores that this process may use.
  static var cores: Int { Int(count_cores()) }

  /// Reserves the last few cores for everything but event loops, which are created later and get
  /// the others.
  ///
  /// - Parameter count: Must be lower than the number of cores.
  static func keepCores(forBackground count: Int) throws(ExitCode) {
    if keep_cores_for_others(Int32(count)) == 0 { return }
    throw ExitCode(
      78,
      saying:
        "background_cores is \(count), but threads cannot be kept to cores here: "
        + "\(Errno(rawValue: errno)); leave it out, or allow sched_setaffinity")
  }

  /// Raises this process's limit of open files to the maximum, and returns it.
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
