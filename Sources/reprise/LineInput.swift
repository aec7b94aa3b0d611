import ArgumentParser
import Foundation
import WireProtocol

/// The lines of a file or of standard input, one after the other, with the progress through it.
final class LineInput {
  private let handle: FileHandle
  private let name: String
  /// The size of the file in bytes; nil if the input has none.
  let byteCount: Int?
  private(set) var bytesRead = 0
  private(set) var lineNumber = 0
  private var buffer: [UInt8] = []
  /// The beginning of the next line in the buffer.
  private var start = 0
  private var hasEnded = false

  /// The longest line, in bytes: a prompt and an output of a million tokens each.
  static let lineBytesMax = 64 << 20

  /// - Parameter path: `-` for standard input.
  init(_ path: String) throws {
    name = path == "-" ? "standard input" : path
    if path == "-" {
      handle = .standardInput
      byteCount = nil
    } else {
      guard let opened = FileHandle(forReadingAtPath: path) else {
        throw ValidationError("cannot read \(path); name a JSONL file, or - for standard input")
      }
      handle = opened
      let attributes = try? FileManager.default.attributesOfItem(atPath: path)
      byteCount = attributes?[.size] as? Int
    }
  }

  /// The next record, or nil at the end. Empty lines are skipped.
  func next(_ reader: TraceLineReader) throws -> TraceLine? {
    while let line = try nextLine() {
      lineNumber += 1
      if line.isEmpty { continue }
      do throws(TraceLineReader.Malformed) {
        return try reader.read(line.span.bytesOfLine)
      } catch {
        throw InputError(description: "\(place): \(error)")
      }
    }
    return nil
  }

  /// The next line as text, or nil at the end. Empty lines are skipped.
  func nextText() throws -> String? {
    while let line = try nextLine() {
      lineNumber += 1
      if line.isEmpty { continue }
      guard let text = String(validating: line, as: UTF8.self) else {
        throw InputError(description: "\(place) is not UTF-8")
      }
      return text
    }
    return nil
  }

  /// The place of the line that was read last.
  var place: String { "\(name), line \(lineNumber)" }

  private func nextLine() throws -> [UInt8]? {
    var searched = start
    while true {
      if let newline = newline(from: searched) {
        defer { start = newline + 1 }
        return Array(buffer[start..<newline])
      }
      // Used bytes are removed once a chunk, not once a line.
      buffer.removeSubrange(..<start)
      searched = buffer.count
      start = 0
      if hasEnded {
        defer { buffer.removeAll() }
        return buffer.isEmpty ? nil : buffer
      }
      if buffer.count > Self.lineBytesMax {
        throw InputError(
          description: "\(name), line \(lineNumber + 1) has more than \(Self.lineBytesMax) bytes")
      }
      let chunk = try handle.read(upToCount: 1 << 20) ?? Data()
      if chunk.isEmpty { hasEnded = true }
      bytesRead += chunk.count
      buffer.append(contentsOf: chunk)
    }
  }

  private func newline(from position: Int) -> Int? {
    unsafe buffer.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return nil }
      // SAFETY: the search stays inside the buffer.
      let found = unsafe memchr(base + position, 0x0A, bytes.count - position)
      return unsafe found.map { unsafe UnsafeRawPointer($0) - base }
    }
  }
}

struct InputError: Error, CustomStringConvertible {
  let description: String
}

extension Span<UInt8> {
  // SAFETY: bytes have no padding.
  fileprivate var bytesOfLine: RawSpan {
    @_lifetime(copy self) get { unsafe bytes }
  }
}
