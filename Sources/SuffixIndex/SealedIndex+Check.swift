extension SealedIndex {
  /// The reason why a check of an index ended early.
  public enum CheckError: Error, Equatable, CustomStringConvertible {
    /// Bytes that no builder writes. They were damaged after they were written. The sequences can
    /// often still be read with `SealedText`.
    case damaged(Place, problem: String)
    /// The check was cancelled. It had found no damage until then.
    case cancelled

    public var description: String {
      switch self {
      case .damaged(let place, let problem): "\(place) \(problem)"
      case .cancelled: "the check was cancelled"
      }
    }
  }

  /// The place of a problem that a check found.
  public enum Place: Equatable, Sendable, CustomStringConvertible {
    case header
    /// Byte of the image.
    case byte(Int)
    /// The end of a chunk, which repeats the beginning of the next.
    case chunkOverlap(Int)
    /// Position in the text.
    case text(Int)
    case suffix(rank: Int)
    case node(Int)
    case largeCount(Int)
    case hashSlot(Int)
    /// Occurrences of the pattern of `tokens` tokens at a position in the text.
    case pattern(position: Int, tokens: Int)

    public var description: String {
      switch self {
      case .header: "the header"
      case .byte(let position): "byte \(position)"
      case .chunkOverlap(let chunk): "the end of chunk \(chunk)"
      case .text(let position): "text position \(position)"
      case .suffix(let rank): "the suffix at rank \(rank)"
      case .node(let node): "node \(node)"
      case .largeCount(let place): "large count \(place)"
      case .hashSlot(let slot): "hash slot \(slot)"
      case .pattern(let position, let tokens):
        "the pattern of \(tokens) tokens at text position \(position)"
      }
    }
  }

  /// Checks every bit of the image and compares each record with those that refer to it.
  ///
  /// An image that passes sets no mark and answers every call as the index over its own text does.
  /// Only a checksum shows that this is the text which was written: where a token was replaced by
  /// another that sorts between the same neighbours, the image is valid but different.
  ///
  /// - Parameter isCancelled: Called every few milliseconds; `true` ends the check.
  /// - Throws: `damaged` at the first problem, `cancelled`.
  /// - Complexity: O(tokens · depth), some hundred nanoseconds a token on real output; allocates
  ///   one bit a token.
  public func checkStructure(
    isCancelled: @escaping () -> Bool = { false }
  ) throws(CheckError) {
    try withCore { core throws(CheckError) in
      var check = StructureCheck(core, sequences: sequenceCount, isCancelled)
      try check.run()
    }
  }

  /// Builds the image from its own text once more and compares byte by byte.
  ///
  /// Finds all that `checkStructure` finds, and also numbers that a builder would have written
  /// otherwise; takes several times as long, and 37 bytes a token.
  ///
  /// - Parameter isCancelled: Called every few milliseconds; `true` ends the check.
  /// - Throws: `damaged` at the first problem, `cancelled`.
  public func checkAgainstRebuild(
    isCancelled: @escaping () -> Bool = { false }
  ) throws(CheckError) {
    var builder = SealedIndexBuilder(depth: depth, tokensExpected: textTokens)
    let tokensLeft = withCore { SealedText($0) }.forEachSequence { _, tokens in
      builder.append(tokens)
      return !isCancelled()
    }
    if isCancelled() { throw .cancelled }
    if tokensLeft > 0 {
      throw .damaged(.text(textTokens - 1), problem: "does not end a sequence, being the last")
    }
    let rebuilt: SealedImageBuffer
    do throws(SealedIndexBuilder.Cancelled) {
      rebuilt = try builder.build(isCancelled: isCancelled)
    } catch {
      throw .cancelled
    }
    let image = withCore { $0.image }
    if rebuilt.byteCount != image.byteCount {
      throw .damaged(
        .header,
        problem: "makes \(image.byteCount) bytes, a new image has \(rebuilt.byteCount)")
    }
    for chunk in 0..<rebuilt.chunkCount {
      if isCancelled() { throw .cancelled }
      let (found, expected) = (image.bytes(ofChunk: chunk), rebuilt.image.bytes(ofChunk: chunk))
      if let difference = found.firstDifference(expected) {
        throw .damaged(
          .byte(chunk * SealedImage.chunkBytes + difference),
          problem: "is not what a new image has there")
      }
    }
  }

  /// Counts patterns drawn from the text in two ways: down the tree of nodes, as drafting does, and
  /// by a binary search among the suffixes.
  ///
  /// - Parameters:
  ///   - count: The number of patterns.
  ///   - seed: The same seed draws the same patterns.
  /// - Throws: `damaged` at the first pattern whose two counts differ.
  /// - Complexity: O(count · (depth + log tokens)).
  public func checkSamples(_ count: Int, seed: UInt64) throws(CheckError) {
    try withCore { core throws(CheckError) in
      var sampler = SampleCheck(core, seed: seed)
      for _ in 0..<count { try sampler.checkOne() }
    }
  }
}

extension RawSpan {
  /// The first byte in which two runs of the same length differ; `nil` if they are equal.
  fileprivate func firstDifference(_ other: RawSpan) -> Int? {
    var offset = 0
    while offset + 8 <= byteCount {
      // SAFETY: both have at least 8 bytes from `offset` on; unequal words are compared byte by
      // byte.
      let same =
        unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
        == other.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
      if !same { break }
      offset += 8
    }
    while offset < byteCount {
      // SAFETY: as above.
      let same =
        unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
        == other.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
      if !same { return offset }
      offset += 1
    }
    return nil
  }
}
