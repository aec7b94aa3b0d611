import ArgumentParser
import CorpusStore
import Foundation
import RepriseClient
import StoreErrors
import WireProtocol

/// Prints one JSON object on a line of its own.
func printJSON(_ members: (inout JSONWriter) -> Void) {
  var writer = JSONWriter()
  writer.beginObject()
  members(&writer)
  writer.endObject()
  writer.endLine()
  FileHandle.standardOutput.write(Data(writer.bytes))
}

/// Prints rows under headings, the first column to the left and numbers to the right.
func printTable(_ headings: [String], _ rows: [[String]]) {
  let widths = headings.indices.map { column in
    ([headings] + rows).map { $0[column].count }.max() ?? 0
  }
  for row in [headings] + rows {
    let cells = row.indices.map { column in
      let padding = String(repeating: " ", count: widths[column] - row[column].count)
      return column == 0 ? row[column] + padding : padding + row[column]
    }
    print(cells.joined(separator: "  "))
  }
}

func fixed(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

/// Opens a history, uses it, and closes it in every case.
func withHistory<Result: Sendable>(
  _ options: HistoryOptions, _ body: @Sendable (any HistoryAccess) async throws -> Result
) async throws -> Result {
  try await reportingErrors {
    let access = try options.open()
    do {
      let result = try await body(access)
      await access.close()
      return result
    } catch {
      await access.close()
      throw error
    }
  }
}

/// Turns errors of operation into a sentence on standard error and exit code 1. (Errors in how the
/// command was called exit with 64, as ArgumentParser does.)
func reportingErrors<Result>(_ body: () async throws -> Result) async throws -> Result {
  do {
    return try await body()
  } catch let error as StoreError {
    throw ExitCode.failure(saying: "\(error)\(error.hint)")
  } catch let error as ClientError {
    throw ExitCode.failure(saying: "\(error)")
  } catch let error as WireError {
    throw ExitCode.failure(saying: "\(error)")
  } catch let error as InputError {
    throw ExitCode.failure(saying: "\(error)")
  }
}

extension StoreError {
  /// The advice of the command, appended to the store's message.
  fileprivate var hint: String {
    switch self {
    case .corpusStands: " (`reprise snapshot restore --replace`)"
    case .corpusNotFound: " (`reprise corpus list` shows them)"
    case .snapshotNotFound: " (`reprise snapshot list` shows them)"
    case .mapFull: " (`reprise serve --map-bytes`)"
    default: ""
    }
  }
}

extension ExitCode {
  static func failure(saying message: String) -> ExitCode { ExitCode(1, saying: message) }

  init(_ status: Int32, saying message: String) {
    FileHandle.standardError.write(Data("reprise: \(message)\n".utf8))
    self.init(status)
  }
}
