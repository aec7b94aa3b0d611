import Concurrency
import CorpusFormat
import Files
import LMDB
import RepriseModel
import StoreErrors
import SystemPackage

/// Copies a corpus's file, as its last transaction left it, and adds the manifest.
///
/// LMDB walks the tree and writes the pages in use to a pipe, on a thread of its own, in a read
/// transaction: no other thread waits for it, and pages freed in the meantime are not reused until
/// it is done. This end of the pipe computes the digest and writes the file.
struct SnapshotWriter {
  private let source: HistoryEditor
  private let path: String

  private static let pipeBytes = 1 << 20

  init(_ source: HistoryEditor, _ path: String) {
    self.source = source
    self.path = path
  }

  func write(_ progress: ProgressReceiver) throws(StoreError) -> SnapshotManifest {
    let file = try FileWriter(path)
    let digest = try copy(to: file, progress)
    CrashPoint.snapshotCopying.reached()
    let manifest = SnapshotManifest(
      environmentBytes: file.byteCount, createdSeconds: source.options.clock.wallSeconds(),
      size: try size(),
      digest: digest, corpus: source.corpus, settings: source.settings)
    try file.append(manifest.encoded().rawSpan)
    try file.finish()
    return manifest
  }

  /// The size of the copied history, read from the copy.
  private func size() throws(StoreError) -> HistorySize {
    try CorpusFile(path: path, origin: .snapshot, options: source.options.file).size()
  }

  private func copy(to file: FileWriter, _ progress: ProgressReceiver) throws(StoreError) -> Digest
  {
    let (output, input) = try systemCall(on: "a pipe") { () throws(Errno) in
      try FileDescriptor.pipe(bytes: Self.pipeBytes)
    }
    let environment = source.file.environment
    let copied = Promise<Result<Void, LMDBError>>()
    do throws(WorkerThread.Refusal) {
      _ = try WorkerThread("reprise-copy", .background) {
        let result: Result<Void, LMDBError>
        do throws(LMDBError) {
          result = .success(try environment.copyCompacted(to: input.rawValue))
        } catch {
          result = .failure(error)
        }
        try? input.close()
        copied.fulfil(result)
      }
    } catch {
      try? output.close()
      try? input.close()
      throw StoreError(error, corpus: source.corpus)
    }
    let written: Result<Digest, StoreError>
    do throws(StoreError) {
      written = .success(try write(output, to: file, progress))
    } catch {
      written = .failure(error)
    }
    // The pipe's read end is closed here by now, so the writing side ends as well.
    let result = copied.wait()
    let digest = try written.get()
    if case .failure(let error) = result { throw source.file.error(error) }
    return digest
  }

  private func write(
    _ output: FileDescriptor, to file: FileWriter, _ progress: ProgressReceiver
  ) throws(StoreError) -> Digest {
    // Closes the read end of the pipe when it is released.
    let reader = FileReader(descriptor: output, of: "a pipe")
    let total = source.file.environment.usage().usedBytes
    let digest = StreamingDigest()
    while try reader.next({ (bytes) throws(StoreError) in
      digest.append(bytes)
      try file.append(bytes)
    }) > 0 {
      try source.cancellation.check()
      CrashPoint.snapshotCopying.reached()
      progress(min(file.byteCount, total), total)
    }
    return digest.value
  }
}
