import ArgumentParser
import CLinux
import Foundation

/// What this machine, and whoever started this process, let it have.
enum Machine {
  /// Bytes of memory: the machine's, or what the control group allows where that is less.
  static var memoryBytes: Int {
    let machine = Int(ProcessInfo.processInfo.physicalMemory)
    let group =
      (try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8))?
      .split(separator: "\n").first { $0.hasPrefix("0::") }?.dropFirst(3) ?? "/"
    var allowed = machine
    // Every group on the way up may allow less.
    var path = group
    while true {
      let file = "/sys/fs/cgroup\(path == "/" ? "" : path)/memory.max"
      if let text = try? String(contentsOfFile: file, encoding: .utf8),
        let bytes = Int(text.trimmingCharacters(in: .whitespacesAndNewlines))
      {
        allowed = min(allowed, bytes)
      }
      guard path != "/", let slash = path.lastIndex(of: "/") else { break }
      path = slash == path.startIndex ? "/" : path[..<slash]
    }
    return allowed
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
