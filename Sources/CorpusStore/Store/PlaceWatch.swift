import StoreErrors
import SystemPackage

/// The check that the files of a store are in their place.
struct PlaceWatch {
  let directory: StoreDirectory
  let conditions: StandingConditions

  /// Raises or clears the conditions of displaced files, of the store and of each corpus.
  ///
  /// - Parameter lockFile: nil once the store's lock is released.
  func look(at corpora: [Corpus], _ lockFile: FileDescriptor?) {
    let isLocked = lockFile.map(directory.holds) ?? true
    let lock = "the store's directory or its lock file"
    if isLocked {
      conditions.clear(.directory)
    } else {
      let failure = StoreError.displaced(what: lock)
      conditions.raise(.directory, cause: "\(directory.path): \(failure)", tolerated: .zero)
    }
    for corpus in corpora {
      let path = directory.corpus(corpus.name)
      let what =
        !isLocked
        ? lock : corpus.placement.isIn(path) ? nil : "the directory of corpus \(corpus.name)"
      corpus.placement.note(what.map { .displaced(what: $0) }, at: path)
    }
  }
}
