import Concurrency
import Foundation
import RepriseModel

/// A condition that lasts until something changes: a full disk, a removed directory.
///
/// It is raised when it is first met and each time it is met again, and cleared when it is over.
/// The log reports it once, then every minute while it lasts, and when it is over; health,
/// statistics and metrics show it in the meantime. If it comes and goes, the log has one report and
/// one end of it a minute at most.
public struct StandingCondition: Equatable, Sendable {
  /// The work that fails; each kind lasts and is cleared by itself.
  public enum Kind: String, CaseIterable, Sendable {
    /// Acknowledged sequences cannot be written to the disk.
    case saving
    /// Growing parts cannot become segments.
    case sealing
    /// Segments cannot be merged.
    case merging
    /// Files of the store were removed, renamed or replaced while they were in use.
    case directory
    /// Another process reads a corpus's file for so long that freed pages are not reused.
    case reading
    /// Connections cannot be accepted, because no file can be opened for them.
    case accepting
  }

  public let kind: Kind
  /// The corpus that is affected; nil if it is the whole store or the service.
  public let corpus: CorpusName?
  /// The reason that was given last, as an error's sentence.
  public fileprivate(set) var cause: String
  /// The number of times that it was met since it was last cleared.
  public fileprivate(set) var count = 0
  /// The time at which it was first met since then.
  public let since: ContinuousClock.Instant
  /// The time that it may last before the service is no longer ready; nil for a condition that does
  /// not prevent readiness.
  public fileprivate(set) var tolerated: Duration?

  /// The work that fails, for example "sealing corpus demo".
  public var subject: String { kind.subject + (corpus.map { " corpus \($0)" } ?? " the store") }

  /// True if the service is not ready because of it.
  public func preventsReadiness(at now: ContinuousClock.Instant) -> Bool {
    tolerated.map { now - since >= $0 } ?? false
  }
}

/// The reports of a condition that lasts, or comes and goes.
private struct ConditionReports {
  /// The time at which the condition was met first.
  let began: ContinuousClock.Instant
  /// The number of times that it was met since then.
  var count = 0
  /// The time of the last report.
  var last: ContinuousClock.Instant
  /// True if the end of the condition is to be reported.
  var endIsDue = true
  /// The time at which the condition was over last.
  var ended: ContinuousClock.Instant?

  init(at now: ContinuousClock.Instant) {
    began = now
    last = now
  }

  func isDue(at now: ContinuousClock.Instant) -> Bool {
    now - last >= StandingConditions.reportInterval
  }

  /// Makes a report.
  mutating func report(_ condition: StandingCondition, at now: ContinuousClock.Instant) -> String {
    last = now
    endIsDue = true
    return "\(condition.subject) fails\(count > 1 ? ", \(times(at: now))" : ""): \(condition.cause)"
  }

  /// Makes the report that the condition is over.
  mutating func reportEnd(
    of condition: StandingCondition, at now: ContinuousClock.Instant
  ) -> String {
    endIsDue = false
    return "\(condition.subject) is in order again: it failed "
      + (count > 1 ? times(at: now) : "once")
  }

  private func times(at now: ContinuousClock.Instant) -> String {
    "\(count) times in \((now - began).components.seconds) s"
  }
}

extension StandingCondition.Kind {
  fileprivate var subject: String {
    switch self {
    case .saving, .sealing, .merging: rawValue
    case .directory: "keeping"
    case .reading: "reusing the free pages of"
    case .accepting: "accepting connections to"
    }
  }

  /// The failure, without names of corpora or files: health shows it to every client.
  public var summary: String {
    switch self {
    case .saving: "acknowledged sequences cannot be written to the disk"
    case .sealing: "sealing fails"
    case .merging: "merging fails"
    case .directory: "files of the store were removed, renamed or replaced while they were in use"
    case .reading: "another process has been reading the store for a long time"
    case .accepting: "no file can be opened for further connections"
    }
  }
}

/// The conditions that last at present. Safe to use from any thread.
public final class StandingConditions: Sendable {
  private struct Key: Hashable {
    let kind: StandingCondition.Kind
    let corpus: CorpusName?
  }

  private let clock: StoreClock
  private let report: StoreReport
  private struct State {
    var standing: [Key: StandingCondition] = [:]
    /// Also of conditions that were over less than a minute ago.
    var reports: [Key: ConditionReports] = [:]
    var raised: [StandingCondition.Kind: Int] = [:]

    /// Forgets reports of conditions that have been over for a minute: they begin anew if they are
    /// met.
    mutating func removeOldReports(at now: ContinuousClock.Instant) {
      reports = reports.filter { key, reports in
        guard standing[key] == nil, let ended = reports.ended else { return true }
        return now - ended < StandingConditions.reportInterval
      }
    }
  }
  /// Never held during a report.
  private let state = Locked(State())

  /// The time between two reports of a condition that lasts.
  public static let reportInterval = Duration.seconds(60)

  public init(clock: StoreClock = .system, report: @escaping StoreReport) {
    self.clock = clock
    self.report = report
  }

  /// Notes that a condition is met, for the first time or again.
  ///
  /// - Parameters:
  ///   - cause: An error's sentence: what was wrong, and what to do.
  ///   - tolerated: The time that it may last before the service is no longer ready; nil for any
  ///     time.
  public func raise(
    _ kind: StandingCondition.Kind, corpus: CorpusName? = nil, cause: String,
    tolerated: Duration? = nil
  ) {
    let now = clock.now()
    let key = Key(kind: kind, corpus: corpus)
    let text: String? = state.withLock { state in
      state.raised[kind, default: 0] += 1
      state.removeOldReports(at: now)
      var condition =
        state.standing[key]
        ?? StandingCondition(
          kind: kind, corpus: corpus, cause: cause, since: now, tolerated: tolerated)
      condition.count += 1
      condition.cause = cause
      condition.tolerated = tolerated
      state.standing[key] = condition
      let isFirst = state.reports[key] == nil
      var reports = state.reports[key] ?? ConditionReports(at: now)
      reports.count += 1
      let text = isFirst || reports.isDue(at: now) ? reports.report(condition, at: now) : nil
      state.reports[key] = reports
      return text
    }
    if let text { report(.error, text) }
  }

  /// Notes that a condition is over, if it was raised.
  public func clear(_ kind: StandingCondition.Kind, corpus: CorpusName? = nil) {
    let now = clock.now()
    let key = Key(kind: kind, corpus: corpus)
    let text: String? = state.withLock { state in
      guard let condition = state.standing.removeValue(forKey: key) else { return nil }
      state.reports[key]?.ended = now
      guard state.reports[key]?.endIsDue == true else { return nil }
      return state.reports[key]?.reportEnd(of: condition, at: now)
    }
    if let text { report(.notice, text) }
  }

  /// Removes the conditions of a corpus that is dropped or closed, without a report.
  public func forget(corpus: CorpusName) {
    state.withLock { state in
      state.standing = state.standing.filter { $0.key.corpus != corpus }
      state.reports = state.reports.filter { $0.key.corpus != corpus }
    }
  }

  /// Reports conditions again that have lasted for a minute since their last report. Must be called
  /// every few seconds: some conditions are met once and then last.
  public func repeatReports() {
    let now = clock.now()
    let texts = state.withLock { state in
      var texts: [String] = []
      for (key, condition) in state.standing where state.reports[key]?.isDue(at: now) == true {
        if let text = state.reports[key]?.report(condition, at: now) { texts.append(text) }
      }
      state.removeOldReports(at: now)
      return texts.sorted()
    }
    for text in texts { report(.error, text) }
  }

  /// All conditions that last, the oldest first.
  public var current: [StandingCondition] {
    let standing = state.withLock { Array($0.standing.values) }
    return standing.sorted { ($0.since, $0.subject) < ($1.since, $1.subject) }
  }

  /// The conditions that prevent readiness.
  public var preventingReadiness: [StandingCondition] {
    let now = clock.now()
    return current.filter { $0.preventsReadiness(at: now) }
  }

  /// The number of times that each kind was met since the store was opened.
  public func timesRaised(_ kind: StandingCondition.Kind) -> Int {
    state.withLock { $0.raised[kind] ?? 0 }
  }
}

/// Receives the store's messages to its operator, one sentence a call, on any thread.
public typealias StoreReport = @Sendable (_ level: StoreReportLevel, _ text: String) -> Void

/// The importance of a report.
public enum StoreReportLevel: Sendable {
  /// A failure is over.
  case notice
  /// Something is damaged or fails.
  case error
}
