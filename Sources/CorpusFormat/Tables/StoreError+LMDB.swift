import Glibc
import LMDB
import StoreErrors

extension StoreError {
  init(_ error: LMDBError, path: String, environment: Environment?) {
    switch error {
    case .mapFull:
      let usage = environment?.usage()
      self = .mapFull(usedBytes: usage?.usedBytes ?? 0, mapBytes: usage?.mapBytes ?? 0)
    case .diskFull: self.init(errno: ENOSPC, path: path)
    // LMDB reports this error if the disk accepted a write only in part.
    case .inputOutput where SystemRefusal.isFull(path): self.init(errno: ENOSPC, path: path)
    case .damaged: self = .corrupt(what: "the database", where: path)
    case .damagedPage: self = .corrupt(what: error.description, where: path)
    case .inaccessible(let path, let errno): self.init(errno: errno, path: path)
    case .other(let code, _) where [EMFILE, ENFILE, EACCES, EPERM, EROFS].contains(code):
      self.init(errno: code, path: path)
    case .alreadyOpen(let path): self = .inUse(path: path)
    case .versionMismatch, .readersFull, .inputOutput, .other:
      self = .fileFailed(path: path, reason: error.description)
    }
  }
}
