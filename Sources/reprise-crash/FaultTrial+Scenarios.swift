import Foundation
import TestSupport

/// The scenarios, each from the start of the service to its end.
extension FaultTrial {
  mutating func diskFull() throws {
    try begin(fault: "ENOSPC@writes:\(random(1...80))+")
    try go(steps: random(5...40))
    load.tolerance = Load.Tolerance(
      narrow: ["storage_full"], wide: ["storage_full", "internal_error"])
    site.control.isDisarmed = false
    try go(steps: random(20...60))
    try compareDrafts()
    // There is room again: no restart is needed. Writing acknowledged data is retried every
    // interval.
    site.control.isDisarmed = true
    usleep(Self.intervalMicros)
    takeRefusals()
    load.tolerance = Load.Tolerance()
    try go(steps: 20)
    try compareDrafts()
    try stop()
  }

  /// A single failure: it affects one corpus, and the others continue.
  mutating func fails(_ fault: String) throws {
    try begin(fault: "\(fault):\(random(1...80))")
    try go(steps: random(5...40))
    load.tolerance = Load.Tolerance(
      narrow: ["internal_error", "corrupt"], wide: ["internal_error", "corrupt"])
    site.control.isDisarmed = false
    try go(steps: random(20...60))
    site.control.isDisarmed = true
    takeRefusals()
    try go(steps: 20)
    // LMDB abandons a file when writing its head fails; the corpus is unusable until the next
    // start.
    let hurt = Set(site.ledger.takeRefusals().keys.compactMap { $0.split(separator: " ").last })
    if hurt.subtracting(["internal_error", "corrupt"]).count > 1 {
      failures.append("one failure hurt several corpora: \(hurt.sorted())")
    }
    try compareDrafts()
    try stop(mayLose: true)
  }

  mutating func startFails() throws {
    try begin()
    try go(steps: random(10...60))
    try stop()
    let fault = ["ENOSPC@writes", "EIO@writes", "EIO@syncs", "EMFILE@open"]
      .randomElement(using: &generator)!
    site.control.isDisarmed = false
    try startOrRefuse(environment: ["REPRISE_FAULT": "\(fault):\(random(1...6))+"])
  }

  mutating func mapFull() throws {
    for megabytes in [1, 2, 4] {
      let isUp = try site.start(arguments: ["--map-bytes", "\(megabytes << 20)"])
      if !isUp {
        checkRefusal()
        continue
      }
      try connect(creating: megabytes == 1)
      load.tolerance = Load.Tolerance(narrow: ["storage_full"], wide: ["storage_full"])
      var steps = 0
      while steps < 600 {
        try go(steps: 20)
        steps += 20
        let full = site.ledger.takeRefusals()
        for (refusal, count) in full { refusals[refusal, default: 0] += count }
        if full.count > 1 { break }
      }
      try compareDrafts()
      try stop()
    }
  }

  mutating func noDescriptors() throws {
    // Enough for the corpora of the load; the rest is for connections.
    try begin(descriptorsMax: 160)
    try go(steps: 10)
    load.tolerance = Load.Tolerance(wide: ["internal_error", "limit_exceeded"])
    var others = (0..<240).compactMap { _ in LineConnection.open(site.socket) }
    try go(steps: 30)
    try compareDrafts()
    others.removeAll()
    // A later connection is served again, as soon as the service has noticed that the others are
    // closed.
    let deadline = ContinuousClock.now + .seconds(60)
    while true {
      if let late = LineConnection.open(site.socket), case .result = late.call("health.ready", "") {
        break
      }
      if ContinuousClock.now > deadline {
        throw ToolError("no connection is served although descriptors are free again")
      }
    }
    takeRefusals()
    load.tolerance = Load.Tolerance()
    try go(steps: 20)
    try stop()
  }

  mutating func fewDescriptors() throws {
    try begin()
    try go(steps: random(10...40))
    try stop()
    // Starting again would not help.
    try startOrRefuse(descriptorsMax: random(8...90), refusal: 78)
  }

  mutating func readOnlyStart() throws {
    try begin()
    try go(steps: random(10...40))
    try stop()
    site.control.isDisarmed = false
    if try site.start(environment: ["REPRISE_FAULT": "EROFS@changes:1+"], watching: true) {
      failures.append("the service serves a store that it cannot write to")
      try stop()
    } else {
      checkRefusal()
    }
  }

  mutating func readOnly() throws {
    try begin(fault: "EROFS@changes:1+")
    try go(steps: random(5...40))
    load.tolerance = Load.Tolerance(narrow: ["internal_error"], wide: ["internal_error"])
    site.control.isDisarmed = false
    try go(steps: 30)
    try compareDrafts()
    site.control.isDisarmed = true
    takeRefusals()
    load.tolerance = Load.Tolerance()
    try go(steps: 20)
    try stop()
  }

  /// Returns false if nothing can be mounted.
  mutating func smallDisk() throws -> Bool {
    guard Self.run("mount", "-t", "tmpfs", "-o", "size=\(random(1...2))m", "tmpfs", site.store)
    else { return false }
    isMounted = true
    guard try site.start() else {
      checkRefusal()
      return true
    }
    load.tolerance = Load.Tolerance(
      narrow: ["storage_full"], wide: ["storage_full", "internal_error"])
    try connect(creating: true)
    for _ in 0..<20 {
      try go(steps: 30)
      let full = site.ledger.takeRefusals()
      for (refusal, count) in full { refusals[refusal, default: 0] += count }
      if !full.isEmpty { break }
    }
    try go(steps: 20)
    try compareDrafts()
    _ = Self.run("mount", "-o", "remount,size=256m", site.store)
    usleep(Self.intervalMicros)
    takeRefusals()
    load.tolerance = Load.Tolerance()
    try go(steps: 20)
    try compareDrafts()
    try stop()
    return true
  }
}
