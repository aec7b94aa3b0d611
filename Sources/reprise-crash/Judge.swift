import RepriseModel
import ToolSupport

/// Compares the content of a store with the expectation.
struct Judge {
  let setting: LoadSetting
  let record: Ledger.Record
  /// The content before the calls.
  let base: Expectation

  /// The most milliseconds that a write of acknowledged data may take beyond the corpus's interval:
  /// other programs share the machine.
  static let lateMillisMax = 300

  /// Returns sentences on all violations.
  ///
  /// - Parameters:
  ///   - position: The number of file changes that had happened; `max` if all had.
  ///   - crashed: A moment at which the service still ran, by CLOCK_MONOTONIC.
  func failures(_ found: Inspection, position: Int = .max, crashed: UInt64) -> [String] {
    let expected = Expectation(record, after: base, position: position, setting)
    // Each wide call without an answer has happened or not. There is rarely more than one.
    var worlds = [expected]
    for call in expected.open where call.isWide {
      worlds += worlds.map { $0.with(call, record, setting) }
    }
    var best: [String]?
    for world in worlds {
      let failures = differences(found, world, crashed: crashed)
      if failures.isEmpty { return [] }
      if failures.count < best?.count ?? .max { best = failures }
    }
    return best ?? []
  }

  /// The content found, as the base of the next calls.
  func base(from found: Inspection) -> Expectation {
    var base = Expectation()
    for (name, entries) in found.corpora {
      if setting.corpora[name]?.retention != nil {
        base.kept[name] = [entries.map { $0.output[0] }]
      } else {
        base.corpora[name] = Self.counts(entries).mapValues { $0...$0 }
      }
    }
    for (name, entries) in found.snapshots {
      base.snapshots[name] = Expectation.Snapshot(
        contents: Self.counts(entries).mapValues { $0...$0 })
    }
    return base
  }

  /// The number of acknowledged sequences that must be there.
  func acknowledged(position: Int = .max) -> Int {
    let expected = Expectation(record, after: base, position: position, setting)
    return expected.corpora.values.reduce(0) { $0 + $1.values.count { $0.lowerBound > 0 } }
      + expected.kept.values.reduce(0) { $0 + ($1.map(\.count).min() ?? 0) }
  }

  private static func counts(_ entries: [KeptSequence]) -> [Int32: Int] {
    entries.reduce(into: [:]) { $0[$1.output.first ?? 0, default: 0] += 1 }
  }

  private func differences(
    _ found: Inspection, _ expected: Expectation, crashed: UInt64
  ) -> [String] {
    var failures: [String] = []
    let names = Set(expected.corpora.keys).union(expected.kept.keys)
    for name in names.symmetricDifference(found.corpora.keys).sorted() {
      failures.append(
        names.contains(name) ? "corpus \(name) is missing" : "corpus \(name) must not be there")
    }
    for (name, entries) in found.corpora {
      failures += texts(entries, "corpus \(name)")
      if let kept = expected.kept[name] {
        failures += bounded(entries, kept, name)
      } else if let contents = expected.corpora[name] {
        failures +=
          setting.corpora[name]?.intervalMillis != nil
          ? delayed(entries, expected, name, crashed: crashed)
          : plain(entries, contents, expected.open, name)
      }
    }
    for (name, snapshot) in expected.snapshots {
      guard let entries = found.snapshots[name] else {
        failures.append("snapshot \(name) is missing")
        continue
      }
      failures += texts(entries, "snapshot \(name)")
      failures += outside(
        Self.counts(entries), snapshot.contents, "snapshot \(name)", except: [])
    }
    for name in found.snapshots.keys where expected.snapshots[name] == nil {
      failures.append("snapshot \(name) must not be there")
    }
    return failures
  }

  /// Checks that every sequence was sent, with its tokens and its id.
  private func texts(_ entries: [KeptSequence], _ place: String) -> [String] {
    var failures: [String] = []
    for entry in entries {
      guard let tag = entry.output.first, let sent = record.sequences[tag] else {
        failures.append("\(place): sequence \(entry.order) was never sent: \(entry.text)")
        continue
      }
      if sent.output != entry.output || sent.leadIn != entry.leadIn || sent.id != entry.id {
        failures.append(
          "\(place): sequence \(tag) is \(entry.id ?? "without id") \(entry.leadIn) \(entry.output), "
            + "sent was \(sent.id ?? "without id") \(sent.leadIn) \(sent.output)")
      }
    }
    for (one, next) in zip(entries, entries.dropFirst()) where one.order >= next.order {
      failures.append("\(place): order number \(next.order) follows \(one.order)")
    }
    return failures
  }

  private func outside(
    _ counts: [Int32: Int], _ expected: Expectation.Contents, _ place: String, except: Set<Int32>
  ) -> [String] {
    var failures: [String] = []
    for tag in Set(counts.keys).union(expected.keys).subtracting(except).sorted() {
      let (count, times) = (counts[tag] ?? 0, expected[tag] ?? 0...0)
      if times.contains(count) { continue }
      failures.append(
        "\(place): sequence \(tag) is there \(count) times, expected "
          + (times.count == 1 ? "\(times.lowerBound)" : "\(times)"))
    }
    return failures
  }

  /// Expects everything acknowledged, and calls without an answer completely or not at all.
  private func plain(
    _ entries: [KeptSequence], _ contents: Expectation.Contents, _ open: [Call], _ name: String
  ) -> [String] {
    let counts = Self.counts(entries)
    var failures: [String] = []
    var judged: Set<Int32> = []
    for call in open {
      guard let (corpus, tags) = call.touched, corpus == name else { continue }
      let isBlurred = open.contains { ($0.replaces(name) || $0.mergesInto(name)) }
      var changed: Set<Bool> = []
      for tag in tags {
        judged.insert(tag)
        let (count, before) = (counts[tag] ?? 0, contents[tag] ?? 0...0)
        let after = if case .add = call.effect { max(1, before.upperBound) } else { 0 }
        if !before.joined(with: after...after).contains(count) {
          failures.append("corpus \(name): sequence \(tag) of an open call is there \(count) times")
        }
        // Another call may have decided about the sequence.
        let isShared = record.calls.contains { other in
          (other.sent.clock > call.sent.clock
            || other.answered == nil && other.sent.clock != call.sent.clock)
            && !other.isRefused && other.touched?.corpus == name
            && other.touched?.tags.contains(tag) == true
        }
        if before.count == 1, before.lowerBound != after, !isShared {
          changed.insert(count == after)
        }
      }
      if changed.count > 1 && !isBlurred {
        failures.append("corpus \(name): the call with sequences \(tags) happened in part")
      }
    }
    return failures + outside(counts, contents, "corpus \(name)", except: judged)
  }

  /// Expects exactly the history that the rule keeps, in its order.
  private func bounded(
    _ entries: [KeptSequence], _ kept: [[Int32]], _ name: String
  ) -> [String] {
    let tags = entries.map { $0.output[0] }
    if kept.contains(tags) { return [] }
    let expected = kept.map { "\($0)" }.joined(separator: " or ")
    return ["corpus \(name) holds \(tags), expected \(expected)"]
  }

  /// Expects all but the last calls, none of which is older than the interval.
  private func delayed(
    _ entries: [KeptSequence], _ expected: Expectation, _ name: String, crashed: UInt64
  ) -> [String] {
    let counts = Self.counts(entries)
    let before = base.corpora[name] ?? [:]
    var failures: [String] = []
    var allowed = expected.corpora[name] ?? [:]
    for call in expected.open {
      guard let (corpus, tags) = call.touched, corpus == name else { continue }
      for tag in tags { allowed[tag] = (allowed[tag] ?? 0...0).joined(with: 0...1) }
    }
    // A sequence that was forgotten and inserted again may be there or not: the second insert may
    // be among the last calls.
    for call in expected.answered {
      guard case .forget(name, let tags) = call.effect else { continue }
      for tag in tags where allowed[tag] == 1...1 { allowed[tag] = 0...1 }
    }
    let window = UInt64((setting.corpora[name]?.intervalMillis ?? 0) + Self.lateMillisMax)
    var seen = Set(before.keys)
    var firstMissing = UInt64.max
    for call in expected.answered {
      guard case .add(name, let tags) = call.effect else { continue }
      let new = tags.filter { seen.insert($0).inserted && allowed[$0] == 1...1 }
      guard !new.isEmpty, let order = call.lastOrder else { continue }
      let missing = new.filter { counts[$0] == nil }
      if missing.isEmpty { continue }
      if missing.count < new.count {
        failures.append("corpus \(name): the call with sequences \(tags) was kept in part")
      }
      firstMissing = min(firstMissing, order)
      for tag in tags { allowed[tag] = 0...1 }
      let answered = call.answered?.nanoseconds ?? .max
      if answered + window * 1_000_000 < crashed {
        failures.append(
          "corpus \(name): sequences \(tags) are missing, which were acknowledged "
            + "\((crashed - answered) / 1_000_000) ms before the end")
      }
    }
    for entry in entries where before[entry.output[0]] == nil && entry.order > firstMissing {
      failures.append(
        "corpus \(name): sequence \(entry.order) is there, and \(firstMissing) is missing")
    }
    return failures + outside(counts, allowed, "corpus \(name)", except: [])
  }
}
