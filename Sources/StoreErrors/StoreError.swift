import Concurrency
import Foundation
import Glibc
import RepriseModel
import SystemPackage

/// The errors of a store. Each message says what was wrong, what was expected and what to do.
public enum StoreError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The path is not a store and cannot become one: it is a file, or a directory with other things.
  case notAStore(path: String, found: String)
  /// The store or one of its corpora was written by another version of Reprise.
  case formatVersion(path: String, found: Int, expected: Int)
  /// Another process serves this store.
  case inUse(path: String)
  /// There is no store at the path: nothing, or a directory without a store.
  case noStore(path: String)
  /// The system refuses a file or a directory: it is missing, this user has no permission, or too
  /// many files are open.
  case inaccessible(path: String, errno: Int32)
  /// The settings are not allowed for a corpus.
  case settings(String)
  /// A corpus of this name exists with other settings.
  case corpusExists(name: CorpusName, differences: [SettingDifference])
  /// A corpus of this name exists, and is not to be replaced.
  case corpusStands(CorpusName)
  /// The id already belongs to another sequence.
  case conflict(id: String)
  /// The corpus's map is full; nothing of the call was written.
  case mapFull(usedBytes: Int, mapBytes: Int)
  /// The file system of a path, or the user's share of it, is full; nothing of the call was
  /// written.
  case diskFull(path: String, freeBytes: Int, diskBytes: Int)
  /// Bytes on disk that differ from what was written.
  case corrupt(what: String, where: String)
  /// The disk or the database failed in another way; nothing of the call was written.
  case failed(String)
  /// The disk failed as above, on one file.
  case fileFailed(path: String, reason: String)
  /// Files were removed, renamed or replaced while they were in use; nothing of the call was written.
  case displaced(what: String)
  /// Sequences were removed, but their bytes are still in the file, because a process reads an old
  /// state of it.
  case stillRead(corpus: CorpusName, readers: [String])
  /// The corpus or its store is closed or dropped.
  case closed(corpus: CorpusName)
  /// There is no corpus of this name.
  case corpusNotFound(CorpusName)
  /// The snapshot, or the file, does not exist.
  case snapshotNotFound(String)
  /// A snapshot of this name already exists.
  case snapshotExists(String)
  /// The name is not allowed for a snapshot.
  case snapshotName(String)
  /// The path of a snapshot leads to a directory, a device or a pipe.
  case notAFile(path: String)
  /// A snapshot that differs from what was written: nothing of it was used.
  case snapshotDamaged(snapshot: String, reason: String)
  /// A corpus that is served from a snapshot cannot be changed.
  case readOnly(corpus: CorpusName)
  /// The call holds more than the corpus keeps at all.
  case exceedsRetention(bound: Retention.Bound, max: Int, got: Int)
  /// A token id that the corpus's vocabulary does not have. `sequence` is the place of its sequence in
  /// the call; nil for tokens that a session accepted.
  case beyondVocabulary(token: Int32, vocabulary: Int, sequence: Int?, position: Int)
  /// The settings differ in a way that forbids mixing: different tokenizers or depths.
  case settingsDiffer(differences: [SettingDifference])
  /// Long work was abandoned, because the store closes or other work has priority.
  case cancelled
  /// More is waiting to be written than the store keeps in memory.
  case busy(retryAfterMillis: Int)
  /// The work needs more memory than the process has left.
  case memoryShort(bytes: Int)

  /// True if opening fails in the same way until another path is named, or the file there is
  /// replaced. Other errors may disappear without that.
  public var isConfiguration: Bool {
    switch self {
    case .notAStore, .formatVersion, .noStore, .notAFile, .snapshotNotFound, .snapshotDamaged: true
    default: false
    }
  }

  public var description: String { description { $0 } }

  private static func list(_ differences: [SettingDifference]) -> String {
    differences.map(\.description).joined(separator: ", ")
  }

  /// The description with each path transformed by `shown`.
  package func description(_ shown: (String) -> String) -> String {
    switch self {
    case .notAStore(let path, let found):
      "\(shown(path)) is not a Reprise store: found \(found); name an empty or a new directory, or a "
        + "store that Reprise created"
    case .formatVersion(let path, let found, let expected):
      "\(shown(path)) has format version \(found), this program reads version \(expected); use the "
        + "version of Reprise that wrote it"
    case .inUse(let path):
      "the store \(shown(path)) is served by another process; stop it, or talk to it through its socket"
    case .noStore(let path):
      "there is no store at \(shown(path)); name the directory of one"
    case .inaccessible(let path, let errno):
      "\(shown(path)) cannot be used: \(SystemRefusal.reason(errno, path, shown))"
    case .settings(let problem):
      "cannot create the corpus with these settings: \(problem)"
    case .corpusExists(let name, let differences):
      "corpus \(name) exists with other settings (\(Self.list(differences))); ask "
        + "for the same settings, or choose another name"
    case .corpusStands(let name):
      "corpus \(name) already exists; restore under another name, or replace it"
    case .conflict(let id):
      "id \"\(id)\" already belongs to a sequence with other tokens; use a new id for new tokens"
    case .mapFull(let usedBytes, let mapBytes):
      "the corpus's map is full: \(usedBytes) of \(mapBytes) bytes are used; forget or merge less into "
        + "it, bound what it keeps, or open the store with a larger map"
    case .diskFull(let path, let freeBytes, _):
      "the disk of \(shown(path)) is full, or this user's share of it: \(freeBytes) bytes are free; free "
        + "disk space"
    case .corrupt(let what, let place):
      "\(what) in \(shown(place)) is damaged; restore the corpus from a snapshot or a backup"
    case .failed(let reason):
      "the disk or the database failed: \(reason); nothing was written, look at the system's log, and "
        + "restart the service if this continues"
    case .fileFailed(let path, let reason):
      "the disk or the database failed: \(shown(path)): \(reason); nothing was written, look at the "
        + "system's log, and restart the service if this continues"
    case .displaced(let what):
      "\(what) was removed, renamed or replaced while it was in use, so that what is written would be lost; "
        + "put it back where it was, or restart the service"
    case .stillRead(let corpus, let readers):
      "the sequences are gone from drafts and later snapshots, but their bytes are still in the "
        + "file of corpus \(corpus), which is read by \(readers.joined(separator: ", ")); wait until "
        + "they have ended, or end them, and repeat the call"
    case .corpusNotFound(let name):
      "there is no corpus \"\(name)\"; name an existing one, or create it"
    case .snapshotNotFound(let snapshot):
      "there is no snapshot \"\(snapshot)\"; name an existing one"
    case .snapshotExists(let snapshot):
      "snapshot \"\(snapshot)\" exists; choose another name, or delete it first"
    case .snapshotName(let name):
      "\"\(name)\" cannot name a snapshot: expected \(SnapshotReference.nameRule)"
    case .notAFile(let path):
      "\(path) is not a regular file; name the file of a snapshot"
    case .snapshotDamaged(let snapshot, let reason):
      "snapshot \(shown(snapshot)) is damaged and was not used: \(reason); use another one, and look at the "
        + "disk that holds it"
    case .readOnly(let corpus):
      "corpus \(corpus) is served from a snapshot and cannot be changed; restore the snapshot into a "
        + "store to write to it"
    case .exceedsRetention(let bound, let max, let got):
      "the call holds \(got) \(bound.rawValue), and the corpus keeps at most \(max); send less at a time, or "
        + "keep more"
    case .beyondVocabulary(let token, let vocabulary, let sequence, let position):
      "token \(position)\(sequence.map { " of sequence \($0)" } ?? "") is \(token), and the corpus's "
        + "vocabulary has ids below \(vocabulary) only; send token ids of the corpus's model"
    case .settingsDiffer(let differences):
      "the existing corpus does not match (\(Self.list(differences))); use another "
        + "corpus"
    case .closed(let corpus):
      "corpus \(corpus) is closed or was dropped"
    case .cancelled:
      "the work was cancelled, because the store is closing"
    case .busy(let retryAfterMillis):
      "too much is waiting to be written; try again in \(retryAfterMillis) ms"
    case .memoryShort(let bytes):
      "this takes \(bytes) bytes of memory, more than are free; try again when less is in use, or "
        + "allow more"
    }
  }
}

extension StoreError {
  /// The sentence for clients that must not learn the store's location: each path is reduced to its
  /// part inside the store's directory.
  public var descriptionForClients: String { description(Self.pathForClients) }

  /// The part of a path inside the store's directory; of a path outside it, the last name.
  public static func pathForClients(_ path: String) -> String {
    for part in ["/corpora/", "/snapshots/"] {
      if let found = path.range(of: part, options: .backwards) {
        return String(path[path.index(after: found.lowerBound)...])
      }
    }
    return path.hasPrefix("/") ? path.split(separator: "/").last.map(String.init) ?? path : path
  }

  /// Translates an error of a system call on a path.
  package init(_ error: Errno, path: String) { self.init(errno: error.rawValue, path: path) }

  /// Translates the system's refusal to give a thread to the work on a corpus.
  package init(_ refusal: WorkerThread.Refusal, corpus: CorpusName) {
    self.init(errno: refusal.code, path: "corpus \(corpus)")
  }

  /// The same by the error's number.
  package init(errno code: Int32, path: String) {
    if code == ENOSPC || code == EDQUOT {
      let (free, bytes) = SystemRefusal.disk(path)
      self = .diskFull(path: path, freeBytes: free, diskBytes: bytes)
    } else {
      self = .inaccessible(path: path, errno: code)
    }
  }
}

/// Makes calls of the system on a path, and throws their error as the store's.
package func systemCall<Result>(
  on path: String, _ body: () throws(Errno) -> Result
) throws(StoreError) -> Result {
  do { return try body() } catch { throw StoreError(error, path: path) }
}
