import CAllocationCounter
import CorpusStore
import Foundation
import HistoryEngine
import Logging
import NIOCore
import RepriseModel
import RepriseServer
import Testing
import WireProtocol

/// The allocations of the request path, counted by replacing malloc. Counts belong to the calling
/// thread, so other tests may run at the same time. Only in optimised builds: other builds allocate
/// for closures and boxes that release builds do not have.
@Suite(.enabled(if: isOptimised && allocations_are_counted()))
struct AllocationTests {
  /// Outputs that repeat each other, so that drafts are long.
  private static let outputs: [[Int32]] = (0..<80).map { number in
    (0..<200).map { Int32(($0 * 7 + number % 5) % 211) }
  }

  private final class Fixture {
    let path = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    let store: Store
    let corpus: Corpus

    init() throws {
      var options = StoreOptions()
      options.compactsInBackground = false
      store = try Store(path: path, options: options)
      corpus = try store.createCorpus(named: "c", CorpusSettings())
      // Two sealed indexes and a growing one.
      for part in 0..<3 {
        try corpus.insert(outputs[(part * 10)..<(part * 10 + 10)].map { NewSequence(tokens: $0) })
        if part < 2 { try corpus.compact() }
      }
    }

    deinit {
      store.close()
      try? FileManager.default.removeItem(atPath: path)
    }
  }

  @Test(arguments: [false, true], DraftPolicy.allCases)
  func aStepInTheStoreAllocatesNothing(tree: Bool, policy: DraftPolicy) throws {
    let fixture = try Fixture()
    var scratch = DraftScratch()
    var draft = Draft()
    let options = DraftOptions(policy: policy, tree: tree)
    var counts: [UInt64] = []
    var drafted = 0
    for output in Self.outputs[30...] {
      let session = fixture.corpus.openSession(prompt: Array(output.prefix(20)))
      for start in stride(from: 20, to: 197, by: 3) {
        let joined = Array(output[start..<(start + 3)])
        let before = allocation_count()
        try session.step(accepting: joined.span, options, using: &scratch, into: &draft)
        counts.append(allocation_count() - before)
        drafted += draft.count
      }
      session.close(record: false) { _ in }
    }
    #expect(drafted > 10 * counts.count)
    // Occasionally a buffer or an index grows.
    #expect(counts.count { $0 == 0 } > counts.count * 9 / 10)
    #expect(counts.reduce(0, +) < UInt64(counts.count / 5))
  }

  @Test func aLineOfSixtyFourStepsAllocatesForItselfAlone() throws {
    let fixture = try Fixture()
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let options = ServiceOptions(.unixSocket(path: "none"))
    let application = try Application(fixture.store, options, logger)
    let reader = RequestReader(limits: options.limits)
    var caller = application.newCaller()
    var writer = JSONWriter()

    func respond(_ call: Call) -> UInt64 {
      var line = JSONWriter()
      Request(id: .number(1), call: call).write(to: &line)
      let bytes = line.bytes
      writer.removeAll()
      let before = allocation_count()
      guard case .one(.success(let request)) = unsafe reader.read(bytes.span.bytes) else {
        Issue.record("the line was not read")
        return 0
      }
      guard var answer = try? application.answer(request.call, for: &caller),
        case .complete = try? answer.write(to: &writer, for: &caller, until: .distantFuture)
      else {
        Issue.record("nothing here waits")
        return 0
      }
      return allocation_count() - before
    }

    for session in 0..<64 {
      _ = respond(.sessionOpen(SessionOpen(corpus: "c", session: "session-\(session)", prompt: [])))
    }
    var counts: [UInt64] = []
    for start in stride(from: 0, to: 180, by: 3) {
      var step = SessionStep()
      for session in 0..<64 {
        step.append(
          session: "session-\(session)",
          accept: Array(Self.outputs[session][start..<(start + 3)]))
      }
      counts.append(respond(.sessionStep(step)))
    }
    let typical = counts.sorted()[counts.count / 2]
    print("allocations of a line of 64 steps:", typical)
    // The arrays of the line, which grow a few times, and nothing for a single step.
    #expect(typical <= 8, "a line of 64 steps takes \(typical) allocations")
  }
}

private let isOptimised: Bool = {
  #if DEBUG && !REPRISE_OPTIMISED
    false
  #else
    true
  #endif
}()
