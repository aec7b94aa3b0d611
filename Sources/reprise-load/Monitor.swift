import Foundation
import TestSupport
import ToolSupport

/// Samples the service and the workers once a second, and shows the progress on a terminal.
final class Monitor {
  struct Second {
    var seconds: Double
    var sample: ProcessSample
    var stepsPerSecond: Double
    var p99Millis: Double
  }

  private(set) var seconds: [Second] = []
  private(set) var counts = Tally.Counts()
  /// CPU seconds of the service and of this program, from the first sample to the last.
  private(set) var serviceCPU = 0.0
  private(set) var ownCPU = 0.0
  private let site: Site
  private let workers: [Worker]
  private let secondsMax: Double
  private let isTerminal = isatty(STDERR_FILENO) != 0
  private let start = nanoseconds()

  private static let secondsPerLine = 2

  init(_ site: Site, _ workers: [Worker], secondsMax: Double) {
    self.site = site
    self.workers = workers
    self.secondsMax = secondsMax
  }

  private var elapsed: Double { Double(nanoseconds() - start) / 1e9 }

  /// Runs until the time is over, or the service has ended, or no worker is left.
  func run() {
    let first = (ProcessSample(site.identifier), ProcessSample(getpid()))
    var last = elapsed
    while elapsed < secondsMax && !site.journal.isStopping {
      let next = min(secondsMax, Double(seconds.count + 1))
      usleep(UInt32(max(0, (next - elapsed) * 1e6)))
      if site.hasEnded {
        site.journal.fail("the service has ended: \(site.lastWords)")
        break
      }
      guard let sample = ProcessSample(site.identifier) else { continue }
      let taken = take()
      let now = elapsed
      seconds.append(
        Second(
          seconds: now, sample: sample, stepsPerSecond: Double(taken.sessionSteps) / (now - last),
          p99Millis: taken.steps.quantile(0.99) / 1000))
      last = now
      show()
    }
    if let service = ProcessSample(site.identifier), let own = ProcessSample(getpid()) {
      serviceCPU = service.cpuSeconds - (first.0?.cpuSeconds ?? 0)
      ownCPU = own.cpuSeconds - (first.1?.cpuSeconds ?? 0)
    }
    clear()
  }

  /// Returns the counts since the last call.
  @discardableResult
  func take() -> Tally.Counts {
    var taken = Tally.Counts()
    for worker in workers { taken.add(worker.tally.take()) }
    counts.add(taken)
    return taken
  }

  func add(_ taken: Tally.Counts) { counts.add(taken) }

  private func clear() {
    if isTerminal { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
  }

  private func show() {
    guard isTerminal, seconds.count % Self.secondsPerLine == 0, let last = seconds.last else {
      return
    }
    let width = 24
    let full = min(width, Int(last.seconds / secondsMax * Double(width)))
    let line = String(
      format: "\r%@%@ %.0f of %.0f s  %.0f steps/s  p99 %.2f ms  RSS %d + %d MB  %d wrong\u{1B}[K",
      String(repeating: "█", count: full), String(repeating: "░", count: width - full),
      last.seconds, secondsMax, last.stepsPerSecond, last.p99Millis,
      last.sample.anonymousBytes >> 20, last.sample.mappedBytes >> 20, site.journal.failures)
    FileHandle.standardError.write(Data(line.utf8))
  }

  // MARK: Memory

  /// The course of memory after the warm-up, which takes the first quarter of the time.
  struct Trend {
    /// Medians of the second quarter and of the last one.
    let early: Double
    let late: Double

    /// The largest growth that counts as flat: a twentieth.
    static let growthMax = 1.05

    var growth: Double { late / early }
    var isFlat: Bool { growth <= Self.growthMax }
  }

  /// nil in runs that are too short to tell.
  func trend(_ bytes: (ProcessSample) -> Int) -> Trend? {
    if secondsMax < 300 || seconds.count < 40 { return nil }
    func median(_ range: Range<Int>) -> Double {
      let sorted = seconds[range].map { bytes($0.sample) }.sorted()
      return Double(sorted[sorted.count / 2])
    }
    let quarter = seconds.count / 4
    return Trend(
      early: median(quarter..<(2 * quarter)), late: median((3 * quarter)..<seconds.count))
  }

  /// Memory and the slowest steps over time.
  func svg() -> String {
    func points(_ value: (Second) -> Double) -> [(x: Double, y: Double)] {
      // A few hundred points are enough.
      let stride = max(1, seconds.count / 300)
      return seconds.indices.filter { $0 % stride == 0 }.map { place in
        let worst = seconds[place..<min(place + stride, seconds.count)].map(value).max() ?? 0
        return (seconds[place].seconds / 60, worst)
      }
    }
    return Chart.svg(
      Chart(
        title: "memory of the service, MB", xTitle: "minutes", xUnit: "", xAxis: .linear,
        lines: [
          Chart.Line(
            name: "with mapped files", colour: "#67a9cf",
            points: points { Double($0.sample.residentBytes) / 1e6 }),
          Chart.Line(
            name: "without", colour: "#2166ac",
            points: points { Double($0.sample.anonymousBytes) / 1e6 }),
        ]),
      Chart(
        title: "p99 of a line of steps, each second, ms", xTitle: "minutes", xUnit: "",
        xAxis: .linear,
        lines: [Chart.Line(name: "p99", colour: "#b2182b", points: points(\.p99Millis))]))
  }
}
