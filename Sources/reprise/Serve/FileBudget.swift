import Foundation

/// The division of the files that the process may open among connections, corpora and everything
/// else.
///
/// Files that the service always needs are reserved. The rest goes to connections and corpora, each
/// with a limit: none of them takes what another needs, and each refusal has a reason.
struct FileBudget {
  /// The number of files that the process may open.
  let files: Int
  let threads: Int
  let hasHTTP: Bool
  /// The number of existing corpora.
  let corpora: Int

  /// An LMDB environment: the data file twice, and its lock file.
  static let filesPerCorpus = 3
  private static let filesPerEventLoop = 3
  /// Standard streams, the store's lock, signals, timers, listeners, and files of libraries.
  private static let filesAtStart = 20
  /// An operator's call (a restore: a file that is read, one that is written, an environment),
  /// metrics, reloaded settings, and a corpus that is being created.
  private static let filesOfCalls = 12
  /// Operators' connections beyond the limit, and those that are being refused.
  private static let filesBeyondLimit = 10
  /// With fewer files the service would start, and then fail during some operation.
  static let filesMin = 64

  struct Shares: Equatable {
    var connections: Int
    var corpora: Int
    var httpConnections: Int
  }

  /// The reason why the files do not suffice.
  struct Shortage: Error {
    let description: String
  }

  var httpConnections: Int { hasHTTP ? min(64, files / 16) : 0 }

  /// Files for everything but connections and corpora.
  var aside: Int {
    Self.filesAtStart + Self.filesPerEventLoop * (threads + (hasHTTP ? 1 : 0)) + Self.filesOfCalls
      + min(Self.filesBeyondLimit, files / 10) + httpConnections
  }

  /// Divides the files.
  ///
  /// - Parameters:
  ///   - connections: The configured number; nil for as many as possible, at most `connectionsMax`.
  ///   - corpora: The configured number; nil for as many as possible.
  func shares(
    connections: Int?, corpora: Int?, connectionsMax: Int, corporaMax: Int
  ) throws(Shortage) -> Shares {
    let rest = files - aside
    // At least the existing corpora, and one to be created.
    let corporaMin = corpora ?? max(self.corpora, 1)
    let needed = aside + max(corporaMin, self.corpora) * Self.filesPerCorpus + (connections ?? 1)
    if needed > files {
      throw Shortage(
        description:
          "this process may open \(files) files, and needs \(needed) for "
          + "\(connections ?? 1) connections and \(max(corporaMin, self.corpora)) corpora; raise its "
          + "limit (ulimit -n, LimitNOFILE), or set lower limits")
    }
    var shares = Shares(connections: 0, corpora: 0, httpConnections: httpConnections)
    if let connections {
      shares.connections = connections
      shares.corpora =
        corpora ?? min(corporaMax, (rest - connections) / Self.filesPerCorpus)
    } else {
      // Half of them each, if they are few.
      let half = max(corporaMin, self.corpora, rest / 2 / Self.filesPerCorpus)
      shares.corpora = corpora ?? min(max(corporaMax, self.corpora), half)
      shares.connections =
        min(
          connectionsMax,
          rest - max(shares.corpora, self.corpora) * Self.filesPerCorpus)
    }
    return shares
  }
}
