import ArgumentParser
import Foundation
import RepriseClient
import UnixSignals
import WireProtocol

struct Top: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Watch a service: its drafts, its speed and its corpora.",
    discussion: """
      Redraws every --interval seconds, until q is pressed. Without a terminal, and with --once, \
      it prints the figures once, with rates since the service's start. If the service has access \
      tokens, it needs one for all corpora. NO_COLOR in the environment turns colours off.

      EXAMPLES
        reprise top --socket ./reprise.sock
        reprise top --socket ./reprise.sock --interval 5
        reprise top --connect history.example:7411 --token-file operator.token --tls-authority ca.pem
        reprise top --once --socket ./reprise.sock | mail -s 'this week' operators@example
      """)

  @OptionGroup var history: HistoryOptions

  @Option(help: "Seconds between two readings.") var interval = 1.0

  @Flag(help: "Print once, and exit.") var once = false

  func validate() throws {
    if history.store != nil {
      throw ValidationError(
        "only a running service can be watched; name a service, --socket PATH")
    }
    if !(0.1...3600).contains(interval) {
      throw ValidationError("--interval is \(interval), expected 0.1 to 3600")
    }
  }

  func run() async throws {
    guard let client = try history.service()?.client else {
      throw ValidationError("name a service with --socket PATH, or --connect HOST:PORT")
    }
    try await reportingErrors {
      do {
        // If the first reading fails or is refused, the command does not wait for the service.
        let first = try await Self.look(client)
        if once || !Terminal.isThere { printOnce(first) } else { try await watch(client, first) }
      } catch {
        await client.close()
        throw error
      }
      await client.close()
    }
  }

  private static func look(_ client: RepriseClient) async throws -> TopSnapshot {
    let info = try await client.serverInfo()
    let text = try await client.metrics()
    do throws(MetricsReading.Malformed) {
      return TopSnapshot(
        version: info.version, uptimeSeconds: info.uptimeSeconds, reading: try MetricsReading(text))
    } catch {
      throw InputError(description: "\(error)")
    }
  }

  private var place: String {
    history.connect ?? history.socket ?? ProcessInfo.processInfo.environment["REPRISE_SOCKET"] ?? ""
  }

  /// No terminal limits the size, so all columns and all corpora are shown.
  private func printOnce(_ snapshot: TopSnapshot) {
    let view = TopView(before: nil, after: snapshot, place: place, width: 200, height: .max)
    for line in view.lines { print(line.text) }
  }

  // MARK: Watching

  private enum Event: Sendable {
    case seen(Result<TopSnapshot, any Error>)
    case key(UInt8)
    case resized, ended
  }

  /// All awaited events, as one stream. A slow reading delays no key.
  private func events(_ client: RepriseClient) async -> AsyncStream<Event> {
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup, .sigwinch)
    let interval = interval
    return AsyncStream { continuation in
      let tasks = [
        Task {
          while (try? await Task.sleep(for: .seconds(interval))) != nil {
            do {
              continuation.yield(.seen(.success(try await Self.look(client))))
            } catch {
              continuation.yield(.seen(.failure(error)))
            }
          }
        },
        Task {
          for await signal in signals {
            continuation.yield(signal == .sigwinch ? .resized : .ended)
          }
        },
        Task { for await key in Terminal.keys() { continuation.yield(.key(key)) } },
      ]
      continuation.onTermination = { _ in for task in tasks { task.cancel() } }
    }
  }

  private func watch(_ client: RepriseClient, _ first: TopSnapshot) async throws {
    let events = await events(client)
    let terminal = Terminal()
    terminal.open()
    defer { terminal.close() }
    var (before, after) = (TopSnapshot?.none, first)
    var trouble: String?
    func draw() {
      let (width, height) = terminal.size
      let view = TopView(
        before: before, after: after, place: place, trouble: trouble, width: width, height: height)
      terminal.draw(view.lines)
    }
    draw()
    for await event in events {
      switch event {
      case .seen(.success(let now)): (before, after, trouble) = (after, now, nil)
      case .seen(.failure(let error)):
        if case .service(let refusal)? = error as? ClientError, refusal.kind == .unauthorized {
          throw error
        }
        // A service that is restarted continues to be watched.
        trouble = "no reading now: \(error); trying again"
      case .key(UInt8(ascii: "q")), .key(UInt8(ascii: "Q")), .ended: return
      case .key, .resized: break
      }
      draw()
    }
  }
}
