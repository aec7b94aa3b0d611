import ArgumentParser
import Foundation
import TestSupport

@main
struct RepriseLoad: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reprise-load",
    abstract: "Many clients of all kinds at once, each answer checked.",
    discussion: "Use tools/load, which builds what is needed.")

  @Option(help: "The optimised build of reprise.") var reprise: String
  @Option(help: "An empty directory for the store.") var work: String
  @Option(help: "How long; fractions are allowed.") var minutes = 20.0
  @Option(help: "Clients.") var workers = 200
  @Option(help: "Seed of everything random.") var seed: UInt64 = Effort.seed
  @Option(help: "Factor of each client's usual rate.") var rate = 1.0
  @Option(help: "Only one kind of clients, such as decoders.") var only: String?
  @Option(help: "Where to draw memory and p99 over time, as SVG.") var plot: String?
  @Flag(help: "Report as JSON.") var json = false

  func validate() throws {
    if !(minutes > 0 && minutes <= 10_000) {
      throw ValidationError("--minutes is \(minutes), expected more than 0")
    }
    if !(1...900 ~= workers) { throw ValidationError("--workers is \(workers), expected 1 to 900") }
    if let only, Role(rawValue: only) == nil {
      let known = Role.allCases.map(\.rawValue).joined(separator: ", ")
      throw ValidationError("--only is \"\(only)\", expected one of \(known)")
    }
    if !(rate >= 0.01 && rate <= 100) {
      throw ValidationError("--rate is \(rate), expected 0.01 to 100")
    }
  }

  func run() throws {
    let journal = Journal { line in
      let clearing = isatty(STDERR_FILENO) != 0 ? "\r\u{1B}[K" : ""
      FileHandle.standardError.write(Data((clearing + line + "\n").utf8))
    }
    let site = try Site(
      reprise: reprise, directory: work, seed: seed, rate: rate, journal: journal)
    try site.prepare()
    let counts = only.flatMap(Role.init).map { [$0: workers] } ?? Role.counts(workers: workers)
    let all = counts.sorted { $0.key.rawValue < $1.key.rawValue }
      .flatMap { role, count in (0..<count).map { Worker(Self.behaviour(site, role, $0)) } }
    let monitor = Monitor(site, all, secondsMax: minutes * 60)
    let group = DispatchGroup()
    for worker in all {
      group.enter()
      let thread = Thread {
        worker.run()
        group.leave()
      }
      thread.stackSize = 1 << 20
      thread.start()
    }
    monitor.run()
    journal.stop()
    group.wait()
    monitor.take()
    let tally = Tally()
    try Aftermath(site: site, workers: all, counts: monitor.counts, tally: tally).run()
    monitor.add(tally.take())
    if let plot { try monitor.svg().write(toFile: plot, atomically: true, encoding: .utf8) }
    let report = LoadReport(monitor: monitor, journal: journal, workers: all.count, seed: seed)
    if json { print(report.json()) } else { report.print() }
    if !report.isGood { throw ExitCode.failure }
  }

  private static func behaviour(
    _ site: Site, _ role: Role, _ number: Int
  ) -> sending any Behaviour {
    switch role {
    case .decoders: Decoder(own: site, number)
    case .sharers: Decoder(sharing: site, number)
    case .inserters: Inserter(site, number)
    case .speculators: Speculator(site, number)
    case .prompters: Prompter(site, number)
    case .operators: Operator(site, number)
    case .slow: SlowClient(site, number)
    case .broken: BrokenClient(site, number)
    case .storms: Storm(site, number)
    }
  }
}
