import Files
import SystemPackage

/// The system's numbers of a file that exists.
struct FileIdentity: Hashable {
  private let device: DeviceID
  private let inode: Inode

  init(_ status: Stat) {
    device = status.deviceID
    inode = status.inode
  }

  /// nil if the path does not exist.
  init?(of path: String) {
    guard let status = try? Files.status(path) else { return nil }
    self.init(status)
  }
}
