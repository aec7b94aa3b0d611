import Foundation

/// A directory for a store that is removed when the command ends.
struct TemporaryStore {
  let path = FileManager.default.temporaryDirectory
    .appendingPathComponent("reprise-\(UUID().uuidString)").path

  func remove() { try? FileManager.default.removeItem(atPath: path) }
}
