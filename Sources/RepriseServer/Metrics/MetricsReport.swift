import CorpusStore
import Foundation
import RepriseModel
import WireProtocol

/// All metrics, under Prometheus's conventions. Metrics of speculative decoding that vLLM has as
/// well have vLLM's names, with `reprise_` for `vllm:`.
struct MetricsReport: Sendable {
  private let store: Store
  private let sessions: SessionTables
  private let resources: ResourceGauge
  private let metrics: Metrics
  private let limits: Limits

  init(
    _ store: Store, _ sessions: SessionTables, _ resources: ResourceGauge, _ metrics: Metrics,
    _ limits: Limits
  ) {
    self.store = store
    self.sessions = sessions
    self.resources = resources
    self.metrics = metrics
    self.limits = limits
  }

  /// Writes all metrics as they are now. It reads every corpus and files of the kernel.
  func text() -> String {
    var text = PrometheusText()
    text.begin("reprise_build_info", .gauge, "The version that runs.")
    text.sample("reprise_build_info", [("version", repriseVersion)], 1)
    text.add(
      "reprise_scrapes_total", .counter, "Times that this text was written.",
      Double(metrics.noteScrape()))
    let tally = metrics.tally
    drafts(tally, &text)
    clients(&text)
    requests(tally, &text)
    resources(&text)
    conditions(&text)
    corpora(&text)
    return text.text
  }

  private func drafts(_ tally: Tally, _ text: inout PrometheusText) {
    text.add(
      "reprise_session_steps_total", .counter, "Steps in which tokens joined a session's output.",
      Double(tally.steps))
    text.add(
      "reprise_session_output_tokens_total", .counter, "Tokens that joined sessions' outputs.",
      Double(tally.outputTokens))
    text.add(
      "reprise_spec_decode_num_drafts_total", .counter,
      "Drafts of sessions that were verified: not empty, and followed by a step with tokens.",
      Double(tally.verifiedDrafts))
    text.add(
      "reprise_spec_decode_num_draft_tokens_total", .counter, "Tokens in verified drafts.",
      Double(tally.verifiedTokens))
    text.add(
      "reprise_spec_decode_num_accepted_tokens_total", .counter,
      "Tokens of verified drafts that joined the output.", Double(tally.acceptedTokens))
    let perPosition = "reprise_spec_decode_num_accepted_tokens_per_pos_total"
    text.begin(
      perPosition, .counter,
      "Tokens of verified drafts that joined the output, by place in the draft, up to "
        + "\(Tally.positions - 1).")
    // All positions, also before they are counted: a rate needs the zero before the first event.
    for (position, count) in tally.acceptedAtPosition.enumerated() {
      text.sample(perPosition, [("position", "\(position)")], Double(count))
    }
    text.begin(
      "reprise_draft_accepted_tokens", .histogram,
      "Tokens of each verified draft that joined the output.")
    text.samples("reprise_draft_accepted_tokens", [], tally.acceptanceLength)
    calibration(tally.calibration, &text)
    let histories = [
      ("local", tally.local), ("group", tally.group), ("shared", tally.shared),
    ]
    text.begin(
      "reprise_drafts_total", .counter,
      "Requested drafts, with and without sessions, by the history that they come from.")
    for (source, found) in histories {
      text.sample(
        "reprise_drafts_total", [("source", source)], Double(found.matchLength.count))
    }
    text.sample("reprise_drafts_total", [("source", "none")], Double(tally.emptyDrafts))
    text.begin("reprise_drafted_tokens_total", .counter, "Tokens in these drafts.")
    for (source, found) in histories {
      text.sample("reprise_drafted_tokens_total", [("source", source)], Double(found.tokens))
    }
    text.begin(
      "reprise_draft_match_tokens", .histogram,
      "Tokens of the context that were found, of each draft that is not empty.")
    for (source, found) in histories {
      text.samples("reprise_draft_match_tokens", [("source", source)], found.matchLength)
    }
  }

  private func calibration(_ calibration: Calibration, _ text: inout PrometheusText) {
    for (name, help, counts) in [
      (
        "reprise_draft_tokens_by_probability_total",
        "Tokens in verified drafts, by the probability that the draft gave them, up to the label.",
        calibration.drafted
      ),
      (
        "reprise_accepted_tokens_by_probability_total",
        "Tokens of verified drafts that joined the output, by the same.", calibration.accepted
      ),
    ] {
      text.begin(name, .counter, help)
      for (bucket, bound) in Calibration.upperBounds.enumerated() {
        text.sample(name, [("probability", "\(bound)")], Double(counts[bucket]))
      }
    }
  }

  private func clients(_ text: inout PrometheusText) {
    let clients = metrics.clients
    let steps = "reprise_client_steps_total"
    text.begin(steps, .counter, "Steps for which clients wanted a draft, as they report.")
    for client in clients {
      text.sample(steps, [("client", client.name)], Double(client.counts.steps))
    }
    let missed = "reprise_client_drafts_missed_total"
    text.begin(missed, .counter, "Steps without a draft, as clients report, by reason.")
    for client in clients {
      for (reason, count) in zip(ClientReport.Reason.allCases, client.counts.missed) {
        text.sample(
          missed, [("client", client.name), ("reason", reason.rawValue)], Double(count))
      }
    }
  }

  private func requests(_ tally: Tally, _ text: inout PrometheusText) {
    let duration = "reprise_request_duration_seconds"
    text.begin(
      duration, .histogram, "From reading a request's line to writing its answer.")
    // Methods that were never called are left out: there are many, and a histogram is long.
    for method in Method.allCases where tally.durations[method.rawValue].count > 0 {
      text.samples(duration, [("method", method.name)], tally.durations[method.rawValue])
    }
    text.begin("reprise_errors_total", .counter, "Requests answered with an error, by kind.")
    for kind in ErrorKind.allCases {
      text.sample(
        "reprise_errors_total", [("kind", kind.rawValue)], Double(tally.errors[kind.number]))
    }
    text.add(
      "reprise_connections", .gauge, "Connections that are open.", Double(metrics.connections))
    text.add(
      "reprise_connections_opened_total", .counter, "Connections that were opened.",
      Double(metrics.connectionsOpened))
    text.begin(
      "reprise_connections_cut_total", .counter, "Connections that the service ended, by reason.")
    let cuts = metrics.cuts
    for reason in Metrics.Cut.allCases {
      text.sample(
        "reprise_connections_cut_total", [("reason", reason.rawValue)], Double(cuts[reason] ?? 0))
    }
    text.add(
      "reprise_sessions", .gauge, "Sessions that are open.", Double(sessions.allowance.sessions))
    text.add(
      "reprise_session_tokens", .gauge, "Tokens in prompts and outputs of open sessions.",
      Double(sessions.allowance.tokens))
  }

  private func resources(_ text: inout PrometheusText) {
    // The gauge may not have read since a corpus was created or filled.
    resources.look()
    text.begin("reprise_limit", .gauge, "Limits of the service, as in docs/guide/protocol.md.")
    for limit in Limit.all {
      text.sample(
        "reprise_limit", [("name", limit.name.rawValue)],
        Double(limits[keyPath: limit.keyPath]))
    }
    memory(&text)
    text.add(
      "reprise_store_bytes", .gauge, "Bytes on disk of all corpora.", Double(resources.diskBytes))
    ProcessFigures.current().write(to: &text)
  }

  /// All kinds, also before they occur: a rate needs the zero before the first event.
  private func conditions(_ text: inout PrometheusText) {
    let current = store.conditions.current
    text.begin("reprise_standing_conditions", .gauge, "Failures that last, by kind.")
    for kind in StandingCondition.Kind.allCases {
      text.sample(
        "reprise_standing_conditions", [("condition", kind.rawValue)],
        Double(current.count { $0.kind == kind }))
    }
    text.begin(
      "reprise_condition_failures_total", .counter, "Occurrences of each kind of failure.")
    for kind in StandingCondition.Kind.allCases {
      text.sample(
        "reprise_condition_failures_total", [("condition", kind.rawValue)],
        Double(store.conditions.timesRaised(kind)))
    }
  }

  private func memory(_ text: inout PrometheusText) {
    let usage = resources.memory.usage
    text.add(
      "reprise_anonymous_memory_bytes", .gauge, "Anonymous memory, not backed by a file.",
      Double(usage.measured))
    let reserved = "reprise_memory_reserved_bytes"
    text.begin(reserved, .gauge, "Memory reserved for work under way, by purpose.")
    for purpose in MemoryBudget.Purpose.allCases {
      text.sample(
        reserved, [("purpose", purpose.name)], Double(usage.reserved[purpose.rawValue]))
    }
    let refusals = "reprise_memory_refusals_total"
    text.begin(
      refusals, .counter, "Times that work was refused or put off for lack of memory, by purpose.")
    for purpose in MemoryBudget.Purpose.allCases {
      text.sample(
        refusals, [("purpose", purpose.name)], Double(usage.refusals[purpose.rawValue]))
    }
    text.add(
      "reprise_parked_sessions", .gauge, "Closed sessions that are kept for a following chat turn.",
      Double(sessions.parked.count))
    text.add(
      "reprise_parked_memory_bytes", .gauge, "Memory of closed sessions that are kept.",
      Double(sessions.parked.bytes))
  }

  private func corpora(_ text: inout PrometheusText) {
    let corpora = store.corpora().map { ($0.name.text, $0.metrics()) }
    func gauges(_ name: String, _ help: String, _ value: (CorpusMetrics) -> Double) {
      text.begin(name, .gauge, help)
      for (corpus, metrics) in corpora { text.sample(name, [("corpus", corpus)], value(metrics)) }
    }
    func statistics(_ name: String, _ help: String, _ value: (CorpusStatistics) -> Int) {
      gauges(name, help) { Double(value($0.statistics)) }
    }
    func counters(_ name: String, _ help: String, _ value: (CorpusActivity) -> Int) {
      text.begin(name, .counter, help)
      for (corpus, metrics) in corpora {
        text.sample(name, [("corpus", corpus)], Double(value(metrics.activity)))
      }
    }
    statistics("reprise_corpus_sequences", "Finished sequences.") { $0.sequences }
    statistics("reprise_corpus_tokens", "Tokens in finished sequences.") { $0.tokens }
    statistics("reprise_corpus_lead_in_tokens", "Of them, tokens of prompts before outputs.") {
      $0.leadInTokens
    }
    statistics("reprise_corpus_open_tokens", "Tokens of open sessions in the history.") {
      $0.openTokens
    }
    statistics("reprise_corpus_disk_bytes", "Bytes of its file on disk.") { $0.bytesOnDisk }
    statistics("reprise_corpus_memory_bytes", "Bytes of its growing indexes.") {
      $0.bytesInMemory
    }
    statistics("reprise_corpus_segments", "Sealed indexes.") { $0.segments }
    statistics("reprise_corpus_segments_waiting", "Sealed indexes to be merged when memory allows.")
    {
      $0.segmentsWaiting
    }
    statistics("reprise_corpus_sessions", "Open sessions.") { $0.sessions }
    statistics("reprise_corpus_unsaved_sequences", "Acknowledged and not on disk yet.") {
      $0.unsavedSequences
    }
    gauges(
      "reprise_corpus_unsaved_seconds", "Age in seconds of the oldest of those; 0 for none."
    ) {
      $0.unsavedSeconds
    }
    gauges("reprise_corpus_other_readers", "Other processes that read its file, such as a check.") {
      Double($0.otherReaders)
    }
    gauges("reprise_corpus_map_bytes", "Address space for its file.") { Double($0.mapBytes) }
    gauges("reprise_corpus_map_used_bytes", "The part of its map that was ever used.") {
      Double($0.mapUsedBytes)
    }
    gauges("reprise_corpus_pinned_transactions", "Commits since the oldest that is being read.") {
      Double($0.transactionsPinned)
    }
    statistics("reprise_corpus_damage", "Findings of damage; see corpus.stats.") {
      $0.damage.count
    }
    counters("reprise_corpus_sealings_total", "Growing indexes that were sealed.") { $0.sealings }
    counters("reprise_corpus_sealed_tokens_total", "Tokens in them.") { $0.sealedTokens }
    counters("reprise_corpus_merges_total", "Merges of sealed indexes.") { $0.merges }
    counters("reprise_corpus_merged_tokens_total", "Tokens in them.") { $0.mergedTokens }
    counters("reprise_corpus_merges_deferred_total", "Merges put off for lack of memory.") {
      $0.mergesDeferred
    }
    counters("reprise_corpus_sequences_removed_total", "Sequences that left because of a bound.") {
      $0.sequencesRemoved
    }
    counters(
      "reprise_corpus_outputs_beyond_retention_total",
      "Outputs of sessions that were not recorded, because they are longer than all that is kept."
    ) {
      $0.outputsBeyondRetention
    }
    counters("reprise_corpus_steps_total", "Steps in which tokens joined a session's output.") {
      $0.steps
    }
    counters("reprise_corpus_output_tokens_total", "Tokens that joined sessions' outputs.") {
      $0.outputTokens
    }
    counters("reprise_corpus_draft_tokens_total", "Tokens in verified drafts.") {
      $0.verifiedTokens
    }
    counters(
      "reprise_corpus_accepted_tokens_total", "Tokens of verified drafts that joined the output."
    ) {
      $0.acceptedTokens
    }
    let commits = "reprise_corpus_commit_duration_seconds"
    text.begin(
      commits, .histogram,
      "Transactions of inserts until they are on disk. LMDB writes and synchronises (fdatasync) in one call; nearly all of the time "
        + "is the disk's.")
    for (corpus, metrics) in corpora {
      text.samples(commits, [("corpus", corpus)], metrics.activity.commits)
    }
  }
}
