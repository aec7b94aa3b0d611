import Concurrency
import StoreErrors

/// Searches for damage in a store's directory; see `StoreInspection.check`.
struct StoreCheck {
  private let directory: StoreDirectory
  private let deep: Bool
  private let options: StoreOptions

  init(_ directory: StoreDirectory, deep: Bool, _ options: StoreOptions) {
    self.directory = directory
    self.deep = deep
    self.options = options
  }

  func run(_ progress: (_ what: String) -> Void) throws(StoreError) -> CheckReport {
    guard try directory.isFormatted() else { throw .noStore(path: directory.path) }
    var report = CheckReport()
    for name in try directory.corpusNames() {
      progress("corpus \(name)")
      try options.cancellation.check()
      var check = CorpusCheck(name, deep: deep, options.memory)
      try check.run(directory.corpus(name), options.file, progress)
      report.corpora.append(check.result)
    }
    for name in try directory.snapshotNames() {
      progress("snapshot \(name)")
      try options.cancellation.check()
      do throws(StoreError) {
        report.snapshots.append(
          try Snapshots.verify(directory.snapshot(name), name: name, options: options))
      } catch {
        if error == .cancelled { throw error }
        report.damage.append(
          CheckReport.Damage(
            what: "snapshot \(name)", reason: "\(error)",
            remedy: "delete it, and take another one"))
      }
    }
    return report
  }
}
