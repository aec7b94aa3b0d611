import Foundation
import TestSupport
import WireProtocol

/// One record of a trace: the prompt and the output.
struct Record {
  let prompt: [Int32]
  let output: [Int32]
}

/// Reads the first records of a JSONL file.
func readTrace(_ path: String, tokensMax: Int = .max) throws -> [Record] {
  guard let file = unsafe fopen(path, "r") else { throw ToolError("cannot read \(path)") }
  defer { unsafe fclose(file) }
  let reader = TraceLineReader(lineBytesMax: 64 << 20)
  var records: [Record] = []
  var tokens = 0
  var line: UnsafeMutablePointer<CChar>?
  var capacity = 0
  defer { unsafe free(line) }
  while tokens < tokensMax {
    let count = unsafe getline(&line, &capacity, file)
    guard count > 0, let bytes = unsafe line else { break }
    // SAFETY: getline gives `count` bytes at `bytes`.
    let read = try reader.read(unsafe RawSpan(_unsafeStart: bytes, byteCount: count))
    tokens += read.output.count
    records.append(Record(prompt: read.prompt, output: read.output))
  }
  return records
}
