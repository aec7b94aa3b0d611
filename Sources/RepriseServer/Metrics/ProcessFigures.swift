import Foundation

/// The kernel's figures on this process, under the names that Prometheus's own libraries use.
struct ProcessFigures {
  private var cpuSeconds = 0.0
  private var residentBytes = 0.0
  private var startSeconds = 0.0
  private var openFiles = 0.0
  private var filesMax = 0.0

  static func current() -> ProcessFigures {
    var figures = ProcessFigures()
    let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
    // The second field is a name in parentheses and may hold anything; the third follows it.
    if let stat = try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8),
      let end = stat.lastIndex(of: ")")
    {
      let fields = stat[end...].split(separator: " ").map { Double($0) ?? 0 }
      if fields.count > 22 {
        figures.cpuSeconds = (fields[12] + fields[13]) / ticks
        figures.startSeconds = bootSeconds + fields[20] / ticks
        figures.residentBytes = fields[22] * Double(sysconf(Int32(_SC_PAGESIZE)))
      }
    }
    let files = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")
    figures.openFiles = Double(files?.count ?? 0)
    var limit = rlimit()
    unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    figures.filesMax = Double(limit.rlim_cur)
    return figures
  }

  private static let bootSeconds: Double = {
    let stat = (try? String(contentsOfFile: "/proc/stat", encoding: .utf8)) ?? ""
    let line = stat.split(separator: "\n").first { $0.hasPrefix("btime ") } ?? ""
    return Double(line.dropFirst(6)) ?? 0
  }()

  func write(to text: inout PrometheusText) {
    text.add("process_cpu_seconds_total", .counter, "CPU time, user and system.", cpuSeconds)
    text.add("process_resident_memory_bytes", .gauge, "Memory, files' included.", residentBytes)
    text.add("process_start_time_seconds", .gauge, "Start, in seconds since 1970.", startSeconds)
    text.add("process_open_fds", .gauge, "Open files.", openFiles)
    text.add("process_max_fds", .gauge, "Limit of open files.", filesMax)
  }
}
