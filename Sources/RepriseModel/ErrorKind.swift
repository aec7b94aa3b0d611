/// The kind of an error that a call is answered with. The raw value is its name in answers and metrics.
public enum ErrorKind: String, CaseIterable, Sendable {
  case parseError = "parse_error"
  case invalidRequest = "invalid_request"
  case methodNotFound = "method_not_found"
  case invalidParams = "invalid_params"
  case internalError = "internal_error"
  case corpusNotFound = "corpus_not_found"
  case corpusExists = "corpus_exists"
  case sessionNotFound = "session_not_found"
  case conflict
  case limitExceeded = "limit_exceeded"
  case storageFull = "storage_full"
  case corrupt
  case unauthorized
  case busy
  case tokenizerMismatch = "tokenizer_mismatch"
  case snapshotNotFound = "snapshot_not_found"
  case readOnly = "read_only"
}
