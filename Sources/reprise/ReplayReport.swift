import RepriseModel
import WireProtocol

/// The results of a replay.
struct ReplayReport {
  var records = 0
  var outputTokens = 0
  var steps = 0
  var acceptedTokens = 0
  var draftedTokens = 0
  var promptTokens = 0
  var openMicros = 0.0
  var draftMicros: [Double] = []
  /// Empty if one exchange accepts and drafts.
  var acceptMicros: [Double] = []
  var historyTokens = 0
  var historyBytes = 0
  var insertMicrosPerToken = 0.0
  var calibration = Calibration()

  /// Adds a step.
  ///
  /// - Parameters:
  ///   - draft: The draft of the step.
  ///   - output: All that the model will write, from the draft's first token on.
  /// - Returns: The number of accepted tokens.
  mutating func add(_ times: StepTimes, _ draft: Draft, by output: ArraySlice<Int32>) -> Int {
    let accepted = calibration.note(
      draft.tokens.span, draft.parents.span, draft.probs.span, by: output.span)
    steps += 1
    // The model adds one token of its own to those that it accepted.
    outputTokens += min(accepted + 1, output.count)
    acceptedTokens += accepted
    draftedTokens += draft.count
    draftMicros.append(times.draftMicros)
    if let accept = times.acceptMicros { acceptMicros.append(accept) }
    return accepted
  }

  private func perStep(_ count: Int) -> Double { steps == 0 ? 0 : Double(count) / Double(steps) }

  /// The tokens that a step yields: accepted tokens and the one that the model always adds.
  var tokensPerStep: Double { perStep(outputTokens) }

  private var bytesPerToken: Double {
    historyTokens == 0 ? 0 : Double(historyBytes) / Double(historyTokens)
  }

  private var openMicrosPerPromptToken: Double {
    promptTokens == 0 ? 0 : openMicros / Double(promptTokens)
  }

  func write(to writer: inout JSONWriter) {
    for (name, value) in [
      ("records", records), ("output_tokens", outputTokens), ("steps", steps),
    ] {
      writer.name(of: name)
      writer.integer(value)
    }
    for (name, value) in [
      ("tokens_per_step", tokensPerStep), ("accepted_per_step", perStep(acceptedTokens)),
      ("drafted_per_step", perStep(draftedTokens)),
    ] {
      writer.name(of: name)
      writer.number(value)
    }
    writer.name("calibration")
    writer.beginArray()
    for (bucket, bound) in Calibration.upperBounds.enumerated() {
      writer.beginObject()
      writer.name("probability")
      writer.number(bound)
      writer.name("drafted")
      writer.integer(Int(calibration.drafted[bucket]))
      writer.name("accepted")
      writer.integer(Int(calibration.accepted[bucket]))
      writer.endObject()
    }
    writer.endArray()
    writer.name("draft_us")
    Self.write(Times(draftMicros), [.mean, .p50, .p99], to: &writer)
    writer.name("accept_us_per_step")
    Self.write(Times(acceptMicros), [.mean, .p99], to: &writer)
    writer.name("open_us_per_prompt_token")
    writer.number(openMicrosPerPromptToken)
    writer.name("history")
    writer.beginObject()
    writer.name("tokens")
    writer.integer(historyTokens)
    writer.name("insert_us_per_token")
    writer.number(insertMicrosPerToken)
    writer.name("bytes")
    writer.integer(historyBytes)
    writer.name("bytes_per_token")
    writer.number(bytesPerToken)
    writer.endObject()
  }

  private enum Figure: String { case mean, p50, p99 }

  private static func write(_ times: Times?, _ figures: [Figure], to writer: inout JSONWriter) {
    writer.beginObject()
    for figure in figures {
      writer.name(of: figure.rawValue)
      guard let times else {
        writer.null()
        continue
      }
      switch figure {
      case .mean: writer.number(times.mean)
      case .p50: writer.number(times.p50)
      case .p99: writer.number(times.p99)
      }
    }
    writer.endObject()
  }

  func printTable() {
    let draft = Times(draftMicros)
    let accept = Times(acceptMicros)
    var rows = [
      ["output tokens", "\(outputTokens)"], ["steps", "\(steps)"],
      ["tokens a step", fixed(tokensPerStep, 3)],
      ["accepted a step", fixed(perStep(acceptedTokens), 3)],
      ["drafted a step", fixed(perStep(draftedTokens), 3)],
    ]
    if let draft {
      rows.append([
        accept == nil ? "exchange, µs (mean, p50, p99)" : "draft, µs (mean, p50, p99)",
        "\(fixed(draft.mean, 2))  \(fixed(draft.p50, 2))  \(fixed(draft.p99, 2))",
      ])
    }
    if let accept {
      rows.append(["accept, µs (mean, p99)", "\(fixed(accept.mean, 2))  \(fixed(accept.p99, 2))"])
    }
    rows += [
      ["open, µs a prompt token", fixed(openMicrosPerPromptToken, 3)],
      ["history before, tokens", "\(historyTokens)"],
      ["insert, µs a token", fixed(insertMicrosPerToken, 3)],
      ["history, bytes a token", fixed(bytesPerToken, 1)],
    ]
    reprise.printTable(["records", "\(records)"], rows)
  }
}

/// The summary of a sample of times.
struct Times {
  let mean: Double
  let p50: Double
  let p99: Double

  /// Returns nil for an empty sample.
  init?(_ sample: [Double]) {
    if sample.isEmpty { return nil }
    let sorted = sample.sorted()
    mean = sorted.reduce(0, +) / Double(sorted.count)
    p50 = sorted[sorted.count / 2]
    p99 = sorted[sorted.count * 99 / 100]
  }
}
