import Foundation

/// How the files that the process may open are shared out among connections, corpora and everything else.
///
/// The files that the service needs in any case are kept aside. The rest goes to connections and corpora,
/// which have limits for it: so none of them takes what another needs, and each refusal has a reason.
struct FileBudget {
  /// Files that the process may open.
  let files: Int
  let threads: Int
  let hasHTTP: Bool
  /// Corpora that there are already.
  let corpora: Int

  /// An environment of LMDB: the data twice, and its lock.
  static let filesPerCorpus = 3
  private static let filesPerEventLoop = 3
  /// Standard streams, the store's lock, signals, timers, listeners, and what libraries hold.
  private static let filesAtStart = 20
  /// An operator's call (a restore: a file that is read, one that is written, an environment), metrics and
  /// settings that are read again, and a corpus that is made.
  private static let filesOfCalls = 12
  /// Operators' connections beyond the limit, and those that are being refused.
  private static let filesBeyondLimit = 10
  /// With so few the service would start, and fail in the middle of something.
  static let filesMin = 64

  struct Shares: Equatable {
    var connections: Int
    var corpora: Int
    var httpConnections: Int
  }

  /// Why the files do not suffice.
  struct Shortage: Error {
    let description: String
  }

  var httpConnections: Int { hasHTTP ? min(64, files / 16) : 0 }

  /// Files for everything but connections and corpora.
  var aside: Int {
    Self.filesAtStart + Self.filesPerEventLoop * (threads + (hasHTTP ? 1 : 0)) + Self.filesOfCalls
      + min(Self.filesBeyondLimit, files / 10) + httpConnections
  }

  /// Shares the files out.
  ///
  /// - Parameters:
  ///   - connections: What was set; nil for as many as there is room for, at most `connectionsMax`.
  ///   - corpora: The same.
  func shares(
    connections: Int?, corpora: Int?, connectionsMax: Int, corporaMax: Int
  ) throws(Shortage) -> Shares {
    let rest = files - aside
    // At least what there is, and one to be made.
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
      // Half of them each, where they are few.
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
