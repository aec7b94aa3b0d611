import ArgumentParser
import Concurrency
import CorpusStore
import Glibc
import RepriseModel
import Synchronization
import UnixSignals
import WireProtocol

struct Check: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check a store's directory for damage.",
    discussion: """
      Reads every corpus and snapshot and compares it with its checksums, also while a service has \
      the store open, and changes nothing. Exits with 0 if all is well, with 1 if the store could \
      not be checked, and with 2 if damage was found; each finding is printed with its remedy. \
      SIGINT and SIGTERM end it with 128 and the signal's number.

      EXAMPLES
        reprise check --store ./history
        reprise check --store ./history --deep --json
      """)

  @Option(help: "Directory of the store.") var store: String
  @Flag(help: "Also rebuild every index from its text, and compare: some µs a token.")
  var deep = false
  @Flag(help: "Print the result as JSON.") var json = false

  static let damageFound = ExitCode(2)

  func run() async throws {
    let interruption = Interruption()
    let watching = await interruption.watch()
    defer { watching.cancel() }
    let (store, deep) = (store, deep)
    let report: CheckReport
    do {
      report = try await reportingErrors {
        try await onThread {
          let bar = ProgressBar("checking")
          defer { bar.finish() }
          return try StoreInspection.check(
            path: store, deep: deep, memory: Machine.memoryBesideOthers(),
            cancellation: interruption.cancellation,
            progress: { bar.show(nil, $0) })
        }
      }
    } catch {
      // The check's read transaction has ended by now, so the service can reuse pages.
      if let signal = interruption.signal { throw ExitCode(128 + signal) }
      throw error
    }
    if json { printJSON(report.write) } else { report.printTables() }
    if !report.isClean { throw Self.damageFound }
  }
}

/// A signal that asks a command to end. The command releases the files that it reads in order: a
/// service with the store open could not reuse pages that the command might still read.
private final class Interruption: Sendable {
  /// Cancelled by the first signal.
  let cancellation = Cancellation()
  private let number = Atomic<Int32>(0)

  /// The time that the command may take to end.
  private static let patience = Duration.seconds(2)

  var signal: Int32? {
    let number = number.load(ordering: .relaxed)
    return number == 0 ? nil : number
  }

  /// Handles signals from here on, until the task is cancelled.
  func watch() async -> Task<Void, any Error> {
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
    return Task { [self] in
      for await signal in signals {
        number.store(signal.rawValue, ordering: .relaxed)
        cancellation.cancel()
        try await Task.sleep(for: Self.patience)
        // Some long read is under way. The service notices by itself that this process has ended.
        _exit(128 + signal.rawValue)
      }
    }
  }
}

extension CheckReport {
  fileprivate func write(to writer: inout JSONWriter) {
    writer.name("clean")
    writer.bool(isClean)
    writer.name("corpora")
    writer.beginArray()
    for corpus in corpora {
      writer.beginObject()
      writer.name("corpus")
      writer.string(corpus.name.text)
      for (name, value) in [
        ("sequences", corpus.sequences), ("tokens", corpus.tokens), ("segments", corpus.segments),
        ("bytes", corpus.bytes),
      ] {
        writer.name(of: name)
        writer.integer(value)
      }
      Self.write(corpus.damage, to: &writer)
      writer.endObject()
    }
    writer.endArray()
    SnapshotList(snapshots: snapshots).write(to: &writer)
    Self.write(damage, to: &writer)
  }

  private static func write(_ damage: [Damage], to writer: inout JSONWriter) {
    writer.name("damage")
    writer.beginArray()
    for damage in damage {
      writer.beginObject()
      writer.name("what")
      writer.string(damage.what)
      writer.name("reason")
      writer.string(damage.reason)
      writer.name("remedy")
      writer.string(damage.remedy)
      writer.endObject()
    }
    writer.endArray()
  }

  fileprivate func printTables() {
    printTable(
      ["corpus", "sequences", "tokens", "segments", "on disk", "damage"],
      corpora.map { corpus in
        [
          corpus.name.text, "\(corpus.sequences)", "\(corpus.tokens)", "\(corpus.segments)",
          readable(bytes: corpus.bytes), "\(corpus.damage.count)",
        ]
      })
    if !snapshots.isEmpty {
      print()
      printTable(
        ["snapshot", "corpus", "sequences", "tokens", "size"],
        snapshots.map { snapshot in
          [
            snapshot.name, snapshot.corpus.text, "\(snapshot.sequences)", "\(snapshot.tokens)",
            readable(bytes: snapshot.bytes),
          ]
        })
    }
    print()
    for corpus in corpora {
      for damage in corpus.damage { Self.printDamage(damage, in: "corpus \(corpus.name), ") }
    }
    for damage in damage { Self.printDamage(damage, in: "") }
    if isClean { print("no damage found") }
  }

  private static func printDamage(_ damage: Damage, in place: String) {
    print("damaged: \(place)\(damage.what)")
    print("  why: \(damage.reason)")
    print("  to do: \(damage.remedy)")
  }
}
