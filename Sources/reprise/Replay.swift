import ArgumentParser
import CorpusStore
import Foundation
import RepriseModel
import WireProtocol

struct Replay: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure the gain of speculation on a recorded trace.",
    discussion: """
      Runs a trace as a model server would: opens a session with each prompt, asks for a draft, \
      verifies it against the recorded output, accepts, and closes. Each line is an object with \
      "response" (or "tokens") and optionally "prompt". The first --warm records only become \
      history. Runs in this process, over a store in a temporary directory, unless --socket, --store or \
      --snapshot is given. The numbers, except for the times, do not depend on where it runs.
      Over a snapshot the history is fixed, so that the same trace always gives the same numbers: \
      outputs join it only if --share says so, and then in memory alone.

      EXAMPLES
        xz -dc trace.jsonl.xz | reprise replay --warm 1000 --eval 200 -
        reprise replay --tree --json trace.jsonl
        reprise replay --socket ./reprise.sock --corpus demo trace.jsonl
        reprise replay --snapshot ./demo.snapshot --json trace.jsonl
      """)

  @OptionGroup var history: HistoryOptions
  @Option(help: "File of a snapshot to replay over, which is only read.") var snapshot: String?
  @Option(
    help: "Corpus to use; created if it does not exist. (default: replay, or the snapshot's)",
    transform: corpusName)
  var corpus: CorpusName?
  @Option(
    help:
      "Prompt tokens that are kept before each output, where this command creates the corpus, 0 to 64."
  )
  var leadIn = LeadIn.standard
  @Option(
    help: ArgumentHelp(
      "Member of each record that names its group; prompt for the prompt itself.",
      valueName: "member"))
  var group: String?
  @Option(help: "Records that only become history.") var warm = 0
  @Option(help: "Records that are replayed; all the rest if not given.") var eval: Int?
  @OptionGroup var draft: DraftFlags
  @Option(
    help:
      "How outputs join the history: live, close or never. (default: live; never for a snapshot)")
  var share: SharePolicy?
  @Flag(help: "Print the result as JSON.") var json = false
  @Argument(help: "JSONL file, or - for standard input.") var file: String

  func validate() throws {
    if warm < 0 { throw ValidationError("--warm is \(warm), expected 0 or more") }
    if !LeadIn.range.contains(leadIn) {
      throw ValidationError(
        "--lead-in is \(leadIn), expected \(LeadIn.range.lowerBound) to \(LeadIn.range.upperBound)")
    }
    if let eval, eval < 0 { throw ValidationError("--eval is \(eval), expected 0 or more") }
    if snapshot == nil { return }
    if history.namesService || history.store != nil {
      throw ValidationError("--snapshot excludes --socket and --store; give one of them")
    }
    if corpus != nil {
      throw ValidationError("--snapshot has one corpus and excludes --corpus; leave it out")
    }
    if warm > 0 {
      throw ValidationError(
        "--warm is \(warm), but a snapshot is only read; restore it into a store to add to it, or "
          + "leave --warm out")
    }
  }

  func run() async throws {
    let input = try LineInput(file)
    try await reportingErrors {
      let isElsewhere = history.store != nil || history.namesService || snapshot != nil
      let temporary = isElsewhere ? nil : TemporaryStore()
      defer { temporary?.remove() }
      let access =
        if let snapshot {
          StoreAccess(try Store(snapshot: snapshot)) as any HistoryAccess
        } else {
          try temporary.map { StoreAccess(try Store(path: $0.path)) as any HistoryAccess }
            ?? history.open(toWrite: true)
        }
      do {
        let report = try await replay(input, access)
        await access.close()
        if json { printJSON(report.write) } else { report.printTable() }
      } catch {
        await access.close()
        throw error
      }
    }
  }

  private func replay(_ input: LineInput, _ access: any HistoryAccess) async throws -> ReplayReport
  {
    let corpus = try await chosenCorpus(in: access)
    var report = ReplayReport()
    let reader = TraceLineReader(lineBytesMax: LineInput.lineBytesMax, groupMember: group)
    try await warmUp(input, reader, access, corpus, &report)
    let bar = ProgressBar("replaying")
    while report.records < eval ?? .max, let record = try input.next(reader) {
      try await replay(record, access, corpus, &report)
      report.records += 1
      bar.show(
        eval.map { Double(report.records) / Double(max($0, 1)) },
        "\(report.records) records, \(fixed(report.tokensPerStep, 2)) tokens a step")
    }
    bar.finish()
    return report
  }

  /// The corpus to replay over, created if necessary; of a snapshot the only one.
  private func chosenCorpus(in access: any HistoryAccess) async throws -> CorpusName {
    if snapshot != nil, let only = try await access.corpora().first { return only.corpus }
    let name = corpus ?? "replay"
    try await access.makeCorpusIfMissing(name, CorpusSettings(leadIn: leadIn))
    return name
  }

  private func warmUp(
    _ input: LineInput, _ reader: TraceLineReader, _ access: any HistoryAccess,
    _ corpus: CorpusName,
    _ report: inout ReplayReport
  ) async throws {
    let bar = ProgressBar("reading history")
    var batches = SequenceBatches(access, corpus)
    var inserting = 0.0
    for record in 0..<warm {
      guard let line = try input.next(reader) else {
        throw InputError(
          description: "the trace has \(record) records, fewer than --warm \(warm)")
      }
      if line.output.isEmpty { continue }
      let start = ContinuousClock.now
      // Without the id: the same trace may be replayed into one corpus again.
      try await batches.add(
        NewSequence(group: groupName(of: line), prompt: line.prompt, tokens: line.output))
      inserting += micros(since: start)
      bar.show(Double(record) / Double(warm), "\(readable(batches.total.tokens)) tokens")
    }
    let start = ContinuousClock.now
    try await batches.finish()
    inserting += micros(since: start)
    bar.finish()
    let stats = try await access.stats(corpus)
    report.historyTokens = stats.tokens
    report.historyBytes = stats.bytesOnDisk + stats.bytesInMemory
    report.insertMicrosPerToken = inserting / Double(max(batches.total.tokens, 1))
  }

  private func replay(
    _ record: TraceLine, _ access: any HistoryAccess, _ corpus: CorpusName,
    _ report: inout ReplayReport
  ) async throws {
    let start = ContinuousClock.now
    let session = try await access.openSession(
      corpus: corpus, prompt: record.prompt, group: groupName(of: record),
      share: share ?? (snapshot == nil ? .live : .never))
    report.openMicros += micros(since: start)
    report.promptTokens += record.prompt.count
    var draft = Draft()
    var position = 0
    var joined: [Int32] = []
    while position < record.output.count {
      let times = try await session.step(accepting: joined, self.draft.options, into: &draft)
      let rest = record.output[position...]
      let accepted = report.add(times, draft, by: rest)
      joined = Array(rest.prefix(accepted + 1))
      position += joined.count
    }
    // The last tokens join the output as well.
    _ = try await session.step(
      accepting: joined, DraftOptions(maxTokens: 0), into: &draft)
    try await session.close()
  }
}

extension Replay {
  /// The name of a record's group; nil for none. Outputs of one prompt have one group where `--group
  /// prompt` was given.
  private func groupName(of record: TraceLine) -> String? {
    if group != "prompt" { return record.group }
    if record.prompt.isEmpty { return nil }
    // FNV-1a, so that every run has the same names.
    var digest: UInt64 = 0xcbf2_9ce4_8422_2325
    for token in record.prompt {
      digest = (digest ^ UInt64(UInt32(bitPattern: token))) &* 0x100_0000_01b3
    }
    return "prompt-\(String(digest, radix: 16))"
  }
}

extension SharePolicy: ExpressibleByArgument {}
