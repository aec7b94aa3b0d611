import Foundation
import TestSupport

/// A directory as a disk may hold it after a power failure: everything that was synchronised, and
/// any part of the later changes that the rules allow.
///
/// - Bytes of a file are durable after fsync or fdatasync of it, or when a synchronous write
///   returned. A later write may be there completely, not at all, or in some of its sectors of 512
///   bytes; a sector never holds a write without the earlier ones to that sector. Holes are like
///   writes of zeros.
/// - A file is as long as it was when it was synchronised, or as any later change made it.
/// - Names are durable after fsync of their directory. Later changes of names appear in order: of
///   two changes of one directory never the second alone. A rename between two directories is one
///   change of both.
final class DiskModel {
  private final class Node {
    let number: Int
    let isDirectory: Bool
    /// Names on disk, and names as the running system sees them.
    var entries: [String: Node] = [:]
    var live: [String: Node] = [:]
    /// Bytes on disk, and the changes since.
    var bytes: [UInt8] = []
    var pending: [Int] = []

    init(_ number: Int, isDirectory: Bool) {
      self.number = number
      self.isDirectory = isDirectory
    }
  }

  /// A change of names: each is set in a directory, or removed.
  private struct Naming {
    var parts: [(directory: Node, name: String, node: Node?)]
  }

  private let recording: Recording
  private let root = Node(1, isDirectory: true)
  private var nodes: [Int: Node]
  private var namings: [Naming] = []
  /// The number of changes that have happened.
  private(set) var position = 0

  private static let sectorBytes = 512

  init(_ recording: Recording) {
    self.recording = recording
    nodes = [1: root]
  }

  func advance(to position: Int) throws {
    while self.position < position {
      try apply(self.position)
      self.position += 1
    }
  }

  // MARK: Changes

  private func apply(_ number: Int) throws {
    let change = recording.changes[number]
    switch change.kind {
    case .create, .mkdir:
      let node = Node(change.object, isDirectory: change.kind == .mkdir)
      nodes[change.object] = node
      try name([(change.path, node)])
    case .unlink, .rmdir: try name([(change.path, nil)])
    case .rename: try name([(change.path, nil), (change.other, try node(change.path))])
    case .link: try name([(change.other, try node(change.path))])
    case .exchange:
      let (one, other) = (try node(change.path), try node(change.other))
      try name([(change.path, other), (change.other, one)])
    case .write, .truncate, .zero, .allocate: nodes[change.object]?.pending.append(number)
    case .sync:
      guard let node = nodes[change.object] else { return }
      if node.isDirectory {
        synchronise(node)
      } else {
        for number in node.pending { write(number, to: &node.bytes) }
        node.pending = []
      }
    }
  }

  private func parent(_ path: String) throws -> (Node, String) {
    var words = path.split(separator: "/").map(String.init)
    guard let name = words.popLast() else { throw ToolError("a change of the root's name") }
    var directory = root
    for word in words {
      guard let next = directory.live[word] else { throw ToolError("\(path) is unknown") }
      directory = next
    }
    return (directory, name)
  }

  private func node(_ path: String) throws -> Node {
    let (directory, name) = try parent(path)
    guard let node = directory.live[name] else { throw ToolError("\(path) is unknown") }
    return node
  }

  private func name(_ parts: [(String, Node?)]) throws {
    var naming = Naming(parts: [])
    for (path, node) in parts {
      let (directory, name) = try parent(path)
      naming.parts.append((directory, name, node))
      directory.live[name] = node
    }
    namings.append(naming)
  }

  /// Makes a directory's changes durable, and with them the earlier changes in other directories
  /// that they involve.
  private func synchronise(_ directory: Node) {
    var touched = [directory]
    var lasting: [Naming] = []
    var others: [Naming] = []
    for naming in namings.reversed() {
      if naming.parts.contains(where: { part in touched.contains { $0 === part.directory } }) {
        touched += naming.parts.map(\.directory)
        lasting.append(naming)
      } else {
        others.append(naming)
      }
    }
    for naming in lasting.reversed() {
      for part in naming.parts { part.directory.entries[part.name] = part.node }
    }
    namings = others.reversed()
  }

  private func write(
    _ number: Int, to bytes: inout [UInt8], where holds: (_ sector: Int) -> Bool = { _ in true }
  ) {
    let change = recording.changes[number]
    switch change.kind {
    case .truncate:
      if change.length < bytes.count {
        bytes.removeLast(bytes.count - change.length)
      } else {
        Self.extend(&bytes, to: change.length)
      }
    case .allocate: Self.extend(&bytes, to: change.offset + change.length)
    case .write, .zero:
      var place = change.offset
      let end =
        change.kind == .write
        ? change.offset + change.length : min(change.offset + change.length, bytes.count)
      while place < end {
        let sector = place / Self.sectorBytes
        let next = min(end, (sector + 1) * Self.sectorBytes)
        if holds(sector) {
          Self.extend(&bytes, to: next)
          if change.kind == .write {
            let start = change.data.lowerBound + place - change.offset
            bytes.replaceSubrange(
              place..<next, with: recording.bytes[start..<(start + next - place)])
          } else {
            for index in place..<next { bytes[index] = 0 }
          }
        }
        place = next
      }
    default: break
    }
  }

  private static func extend(_ bytes: inout [UInt8], to count: Int) {
    if bytes.count < count { bytes += repeatElement(0, count: count - bytes.count) }
  }

  // MARK: The state after a crash

  /// The ways of drawing a state from the changes that are not certainly on disk.
  enum Manner: CaseIterable {
    /// All changes are on disk, as when only the process dies.
    case all
    case nothing
    /// The first changes in order, the last of them torn.
    case prefix
    /// Each change independently, completely or not at all.
    case some
    /// Each change independently, some of them only with some sectors.
    case torn
  }

  /// Writes a state that a crash now may leave into an empty directory. The next change is under
  /// way.
  func leave(at path: String, _ manner: Manner, _ generator: inout SeededGenerator) throws {
    var underWay: Int?
    if position < recording.changes.count {
      let next = recording.changes[position]
      if [.write, .truncate, .zero, .allocate].contains(next.kind), let node = nodes[next.object] {
        node.pending.append(position)
        underWay = position
      }
    }
    defer {
      if let underWay { nodes[recording.changes[underWay].object]?.pending.removeLast() }
    }
    // The end of the prefix, over all files.
    let pending = nodes.values.flatMap(\.pending).sorted()
    let last = pending.randomElement(using: &generator) ?? 0
    let share = [0.1, 0.5, 0.9].randomElement(using: &generator)!
    var drawn = generator

    func chance() -> Double { Double.random(in: 0..<1, using: &drawn) }

    /// The sectors of a change that reached the disk.
    func sectors(_ number: Int) -> (Int) -> Bool {
      let change = recording.changes[number]
      let lasts = change.isSynchronous && number != underWay
      if lasts { return { _ in true } }
      // A synchronous change under way is one sector of the database's head: on disk or not.
      var isThere: Bool
      var isTorn = false
      switch manner {
      case .all: isThere = true
      case .nothing: isThere = false
      case .prefix:
        isThere = number <= last
        isTorn = number == last
      case .some: isThere = chance() < share
      case .torn:
        isThere = chance() < share
        isTorn = chance() < 0.5
      }
      if !isThere { return { _ in false } }
      if !isTorn || (change.kind != .write && change.kind != .zero) { return { _ in true } }
      if chance() < 0.5 {
        let end =
          change.offset / Self.sectorBytes
          + Int(chance() * Double((change.length + Self.sectorBytes - 1) / Self.sectorBytes))
        return { $0 < end }
      }
      let salt = UInt64.random(in: 0...UInt64.max, using: &drawn)
      return { sector in
        var one = SeededGenerator(seed: salt &+ UInt64(sector))
        return Bool.random(using: &one)
      }
    }

    func contents(_ node: Node) -> [UInt8] {
      var bytes = node.bytes
      // A sector that holds a change also holds the earlier ones.
      let held = node.pending.map { (number: $0, holds: sectors($0)) }
      var latest: [Int: Int] = [:]
      for (number, holds) in held {
        let change = recording.changes[number]
        guard change.kind == .write || change.kind == .zero, change.length > 0 else { continue }
        let first = change.offset / Self.sectorBytes
        for sector in first...((change.offset + change.length - 1) / Self.sectorBytes)
        where holds(sector) {
          latest[sector] = number
        }
      }
      for (number, holds) in held {
        switch recording.changes[number].kind {
        case .truncate, .allocate: if holds(0) { write(number, to: &bytes) }
        default: write(number, to: &bytes) { number <= latest[$0] ?? -1 }
        }
      }
      return bytes
    }

    // A copy of the names, with the changes that reached the disk.
    var entries: [ObjectIdentifier: [String: Node]] = [:]
    var blocked: [Node] = []
    for naming in namings {
      let isBlocked = naming.parts.contains { part in blocked.contains { $0 === part.directory } }
      let isThere =
        switch manner {
        case .all: true
        case .nothing: false
        default: chance() < max(share, 0.5)
        }
      if isBlocked || !isThere {
        blocked += naming.parts.map(\.directory)
        continue
      }
      for part in naming.parts {
        let directory = ObjectIdentifier(part.directory)
        entries[directory, default: part.directory.entries][part.name] = part.node
      }
    }

    func make(_ directory: Node, _ path: String) throws {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      for (name, node) in (entries[ObjectIdentifier(directory)] ?? directory.entries).sorted(by: {
        $0.key < $1.key
      }) {
        if node.isDirectory {
          try make(node, "\(path)/\(name)")
        } else {
          try writeFile("\(path)/\(name)", contents(node))
        }
      }
    }
    try make(root, path)
    generator = drawn
  }

  /// Throws unless a directory equals the sum of all changes: then the recording is complete.
  func verify(equals path: String) throws {
    func compare(_ directory: Node, _ path: String) throws {
      let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
      if names != directory.live.keys.sorted() {
        throw ToolError(
          "the recording is not whole: \(path) holds \(names), not \(directory.live.keys.sorted())")
      }
      for (name, node) in directory.live {
        let place = "\(path)/\(name)"
        if node.isDirectory {
          try compare(node, place)
        } else if name != "lock.mdb" {
          var bytes = node.bytes
          for number in node.pending { write(number, to: &bytes) }
          if try [UInt8](Data(contentsOf: URL(fileURLWithPath: place))) != bytes {
            throw ToolError("the recording is not whole: \(place) differs")
          }
        }
      }
    }
    try compare(root, path)
  }
}

private func writeFile(_ path: String, _ bytes: [UInt8]) throws {
  let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
  if descriptor < 0 { throw ToolError("\(path) cannot be made") }
  defer { close(descriptor) }
  var written = 0
  while written < bytes.count {
    let count = unsafe bytes.withUnsafeBytes { buffer in
      // SAFETY: stays inside the array.
      unsafe write(descriptor, buffer.baseAddress! + written, bytes.count - written)
    }
    if count <= 0 { throw ToolError("\(path) cannot be written: no room?") }
    written += count
  }
}
