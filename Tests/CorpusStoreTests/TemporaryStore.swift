import CorpusStore
import Foundation

/// A directory for one test, removed when the test releases it.
final class TemporaryDirectory {
  let path: String

  init() {
    path =
      FileManager.default.temporaryDirectory
      .appendingPathComponent("reprise-test-\(UUID().uuidString)").path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

extension StoreOptions {
  /// Everything small, so that a few hundred tokens go through growing, sealing and merging.
  static func tiny(sealTokens: Int = 24, background: Bool = false) -> StoreOptions {
    var options = StoreOptions()
    options.mapBytes = 64 << 20
    options.sealTokens = sealTokens
    options.mergeFanIn = 2
    options.sealsWaitingMax = 2
    options.compactsInBackground = background
    return options
  }
}
