import Concurrency

/// The threads of the service beside its event loops, each with a queue of its kind of work.
struct ServiceThreads: Sendable {
  /// Runs the few calls that wait for the disk themselves, creating and dropping corpora, and
  /// removes long outputs from the shared history. It has the niceness of writers, which must not
  /// wait behind others: the holder of a corpus's lock must not lose its core to other threads.
  let disk = WorkQueue("reprise-disk", .ordinary)
  /// Runs calls of operators: they read or rewrite whole corpora, and take seconds to minutes.
  let operations = WorkQueue("reprise-ops")
  /// Indexes long prompts.
  let prompts = WorkQueue("reprise-prompts")
  /// Reads long lines, and frees large buffers. It is not the thread of prompts, because a line of
  /// steps must not wait for those.
  let lines = WorkQueue("reprise-lines")
  /// Writes the text of metrics: it reads every corpus and files of the kernel.
  let reports = WorkQueue("reprise-reports")

  /// Ends the threads, after what they are doing. What waits for them is dropped.
  func stop() async {
    for queue in [disk, operations, prompts, lines, reports] { await queue.stop() }
  }
}
