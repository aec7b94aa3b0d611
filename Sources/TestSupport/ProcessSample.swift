import Foundation

/// The figures of a process, as /proc has them.
package struct ProcessSample: Sendable {
  /// Anonymous memory (not backed by a file).
  package private(set) var anonymousBytes = 0
  /// Mapped files, on a disk or in memory.
  package private(set) var mappedBytes = 0
  /// CPU of all threads, those that have ended among them.
  package private(set) var cpuSeconds = 0.0

  package var residentBytes: Int { anonymousBytes + mappedBytes }

  /// Reads the figures; nil where there is no such process.
  package init?(_ identifier: pid_t) {
    guard let status = text("\(identifier)/status"), let stat = text("\(identifier)/stat"),
      let seconds = ThreadSample.cpuSeconds(stat)
    else { return nil }
    for line in status.split(separator: "\n") {
      let bytes = (Int(line.filter(\.isNumber)) ?? 0) * 1024
      if line.hasPrefix("RssAnon:") { anonymousBytes = bytes }
      if line.hasPrefix("RssFile:") || line.hasPrefix("RssShmem:") { mappedBytes += bytes }
    }
    cpuSeconds = seconds
  }

  /// The descriptors that a process has open.
  package static func descriptors(of identifier: pid_t) throws -> Set<Int> {
    Set(
      try FileManager.default.contentsOfDirectory(atPath: "/proc/\(identifier)/fd")
        .compactMap { Int($0) })
  }
}

/// The figures of a thread, as /proc has them.
package struct ThreadSample: Sendable {
  package let name: String
  package let cpuSeconds: Double
  /// The cores that it may use.
  package let cores: Set<Int>

  /// Reads the figures of all threads of a process. Those that end meanwhile are left out.
  package static func all(of identifier: pid_t) -> [ThreadSample] {
    let path = "/proc/\(identifier)/task"
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return threads.compactMap { ThreadSample("\(identifier)/task/\($0)") }
  }

  private init?(_ path: String) {
    guard let status = text("\(path)/status"), let stat = text("\(path)/stat"),
      let seconds = Self.cpuSeconds(stat)
    else { return nil }
    let members = status.split(separator: "\n").map { $0.split(separator: "\t") }
    func member(_ name: String) -> Substring? { members.first { $0.first == name[...] }?.last }
    guard let name = member("Name:"), let list = member("Cpus_allowed_list:") else { return nil }
    self.name = String(name)
    cpuSeconds = seconds
    // The format is that of 0-3,8.
    cores = list.split(separator: ",").reduce(into: []) { cores, range in
      let ends = range.split(separator: "-").compactMap { Int($0) }
      if let first = ends.first, let last = ends.last { cores.formUnion(first...last) }
    }
  }

  /// User and system time: the 14th and 15th fields of a `stat`. The name, the second field, ends with
  /// the last bracket.
  fileprivate static func cpuSeconds(_ stat: String) -> Double? {
    guard let close = stat.lastIndex(of: ")") else { return nil }
    let fields = stat[close...].split(separator: " ")
    guard fields.count > 13, let user = Double(fields[12]), let system = Double(fields[13]) else {
      return nil
    }
    return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
  }
}

private func text(_ path: String) -> String? {
  try? String(contentsOfFile: "/proc/\(path)", encoding: .utf8)
}
