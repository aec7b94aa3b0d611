import CXXHash

/// The 128-bit XXH3 of bytes that arrive in pieces.
@safe
package final class StreamingDigest {
  // SAFETY: created in `init`, freed in `deinit`, used by one thread at a time.
  private let state: OpaquePointer

  package init() {
    guard let state = unsafe XXH3_createState() else { fatalError("no memory for a digest") }
    unsafe self.state = state
    unsafe XXH3_128bits_reset(state)
  }

  deinit { unsafe XXH3_freeState(state) }

  package func append(_ bytes: RawSpan) {
    // SAFETY: the buffer is used within the closure only.
    unsafe bytes.withUnsafeBytes { bytes in
      _ = unsafe XXH3_128bits_update(state, bytes.baseAddress, bytes.count)
    }
  }

  package var value: Digest {
    let hash = unsafe XXH3_128bits_digest(state)
    return Digest(low: hash.low64, high: hash.high64)
  }
}

/// A 128-bit digest, written as 32 hexadecimal digits.
package struct Digest: Equatable, Sendable, CustomStringConvertible {
  package var low: UInt64
  package var high: UInt64

  package var description: String {
    [high, low].map { number in
      let digits = String(number, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }
}
