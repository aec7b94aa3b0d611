import ArgumentParser
import Foundation
import RepriseModel
import WireProtocol

struct Insert: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Add finished sequences from a JSONL file.",
    discussion: """
      Each line is an object with "tokens" (or "response"), an array of token ids, and optionally \
      the "prompt", of which the corpus keeps the last tokens (see corpus create --lead-in), a \
      "group", whose newest outputs are drafted from in sessions that name it, and \
      an "id": a line whose id the corpus already holds is skipped, so that an insert that was \
      interrupted can be repeated. What is reported as inserted is on disk.

      EXAMPLES
        reprise insert --corpus demo --socket ./reprise.sock outputs.jsonl
        xz -dc t.jsonl.xz | reprise insert --corpus demo --create --store ./h -
      """)

  @OptionGroup var history: HistoryOptions

  @Option(help: "Corpus to add to.", transform: corpusName)
  var corpus: CorpusName

  @Flag(help: "Create the corpus if it does not exist.")
  var create = false

  @Flag(help: "Print the result as JSON.")
  var json = false

  @Argument(help: "JSONL file, or - for standard input.")
  var file: String

  func run() async throws {
    let input = try LineInput(file)
    try await reportingErrors {
      let access = try history.open(toWrite: true)
      do {
        try await insert(input, access)
        await access.close()
      } catch {
        await access.close()
        throw error
      }
    }
  }

  private func insert(_ input: LineInput, _ access: any HistoryAccess) async throws {
    if create { try await access.makeCorpusIfMissing(corpus) }
    let start = ContinuousClock.now
    let bar = ProgressBar("inserting")
    var batches = SequenceBatches(access, corpus)
    let reader = TraceLineReader(lineBytesMax: LineInput.lineBytesMax, groupMember: "group")
    while let line = try input.next(reader) {
      if line.output.isEmpty { continue }
      try await batches.add(
        NewSequence(
          id: line.id, group: line.group, prompt: line.prompt, tokens: line.output))
      bar.show(
        input.byteCount.map { Double(input.bytesRead) / Double(max($0, 1)) },
        "\(readable(batches.total.tokens)) tokens")
    }
    try await batches.finish()
    bar.finish()
    let total = batches.total
    let seconds = micros(since: start) / 1e6
    if json {
      printJSON { writer in
        writer.name("inserted")
        writer.integer(total.inserted)
        writer.name("duplicates")
        writer.integer(total.duplicates)
        writer.name("tokens")
        writer.integer(total.tokens)
        writer.name("seconds")
        writer.number(seconds)
      }
    } else {
      print(
        "\(total.inserted) sequences with \(readable(total.tokens)) tokens inserted into \(corpus), "
          + "\(total.duplicates) existed already, in \(String(format: "%.1f", seconds)) s")
    }
  }
}

/// Collects sequences into calls of an efficient size, with one call under way while the next is
/// collected.
struct SequenceBatches {
  private let access: any HistoryAccess
  private let corpus: CorpusName
  private var batch: [NewSequence] = []
  private var batchTokens = 0
  private var underWay: Task<InsertReceipt, any Error>?
  private(set) var total = InsertReceipt()

  private static let tokensPerCall = 1 << 16
  private static let sequencesPerCall = 4096

  init(_ access: any HistoryAccess, _ corpus: CorpusName) {
    self.access = access
    self.corpus = corpus
  }

  mutating func add(_ sequence: NewSequence) async throws {
    batch.append(sequence)
    batchTokens += sequence.tokens.count
    if batchTokens >= Self.tokensPerCall || batch.count >= Self.sequencesPerCall {
      try await send()
    }
  }

  mutating func finish() async throws {
    try await send()
    try await gather()
  }

  private mutating func send() async throws {
    try await gather()
    if batch.isEmpty { return }
    let (access, corpus, sequences) = (access, corpus, batch)
    underWay = Task { try await access.insert(sequences, into: corpus) }
    batch.removeAll(keepingCapacity: true)
    batchTokens = 0
  }

  private mutating func gather() async throws {
    guard let task = underWay else { return }
    underWay = nil
    let answer = try await task.value
    total.inserted += answer.inserted
    total.duplicates += answer.duplicates
    total.tokens += answer.tokens
    total.lastOrder = answer.lastOrder ?? total.lastOrder
  }
}
