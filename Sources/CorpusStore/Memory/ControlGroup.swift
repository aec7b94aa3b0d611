import Foundation

/// The memory limit of this process's control group.
///
/// Both versions are supported: version 2 has one hierarchy, version 1 has one for memory alone. In
/// a container the path that the kernel reports may not exist, because only the container's own
/// groups are mounted. Therefore the groups above are read as well, up to the mount, and each may
/// have a lower limit.
public struct ControlGroup: Sendable {
  /// Directories of the group and of those above it, and the version.
  private let groups: [(path: String, version: Int)]

  /// Finds the groups of this process.
  ///
  /// - Parameter root: Prefix of all paths, for tests.
  public init(root: String = "") {
    var groups: [(path: String, version: Int)] = []
    let lines = (try? String(contentsOfFile: root + "/proc/self/cgroup", encoding: .utf8)) ?? ""
    for line in lines.split(separator: "\n") {
      // "7:cpu,memory:/path" in the first version, "0::/path" in the second.
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let version = fields[0] == "0" && fields[1].isEmpty ? 2 : 1
      if version == 1 && !fields[1].split(separator: ",").contains("memory") { continue }
      let mount = root + (version == 2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory")
      var names = fields[2].split(separator: "/")
      while true {
        groups.append((([mount] + names.map(String.init)).joined(separator: "/"), version))
        if names.popLast() == nil { break }
      }
    }
    self.groups = groups
  }

  /// The limit in bytes; nil if there is none.
  public var limit: Int? { groups.compactMap(limit).min() }

  /// The rest of a share of the limit, in bytes, after the anonymous memory (not backed by a file)
  /// of all processes in the group; nil if there is no limit.
  public func bytesLeft(ofTenths tenths: Int) -> Int? {
    groups.compactMap { group in
      limit(of: group).map { $0 / 10 * tenths - (anonymousBytes(of: group) ?? 0) }
    }.min()
  }

  private func limit(of group: (path: String, version: Int)) -> Int? {
    let file = group.version == 2 ? "memory.max" : "memory.limit_in_bytes"
    guard let text = try? String(contentsOfFile: "\(group.path)/\(file)", encoding: .utf8),
      // "max" is not a number, and version 1 reports no limit as the largest number that it can
      // hold.
      let bytes = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)), bytes < 1 << 60
    else { return nil }
    return bytes
  }

  private func anonymousBytes(of group: (path: String, version: Int)) -> Int? {
    let text = (try? String(contentsOfFile: "\(group.path)/memory.stat", encoding: .utf8)) ?? ""
    let name = group.version == 2 ? "anon " : "total_rss "
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(name) }) else {
      return nil
    }
    return Int(line.dropFirst(name.count))
  }
}
