import Foundation

/// The memory that this process's control group may have.
///
/// Of both versions: of the second there is one hierarchy, of the first one for memory alone. In a
/// container the path that the kernel tells may not be there, because only the container's own groups
/// are mounted; so the groups above are looked at as well, up to the mount, and each may allow less.
public struct ControlGroup: Sendable {
  /// Directories of the group and of those above it, and the version.
  private let groups: [(path: String, version: Int)]

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

  /// Bytes that it may have; nil where nothing bounds it.
  public var limit: Int? { groups.compactMap(limit).min() }

  /// Bytes that are left of a part of its memory, beside what all processes in it have now that no file
  /// backs; nil where nothing bounds it.
  public func bytesLeft(ofTenths tenths: Int) -> Int? {
    groups.compactMap { group in
      limit(of: group).map { $0 / 10 * tenths - (anonymousBytes(of: group) ?? 0) }
    }.min()
  }

  private func limit(of group: (path: String, version: Int)) -> Int? {
    let file = group.version == 2 ? "memory.max" : "memory.limit_in_bytes"
    guard let text = try? String(contentsOfFile: "\(group.path)/\(file)", encoding: .utf8),
      // "max" is no number, and the first version writes the largest one that it can count to.
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
