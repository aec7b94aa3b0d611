/// The sequences of an image, read from its text alone.
///
/// The first run of an image holds the sequences that it was built from; all else can be computed
/// from them again. Therefore the text can be read when the header, or anything behind the text, is
/// damaged. The sizes that are needed to find the text must then be known from elsewhere:
/// `SealedImageBuffer.textTokens` and `tokenBits` of the image when it was built.
///
/// Any bytes can be read: where they are damaged, tokens or the ends of sequences are wrong.
public struct SealedText {
  private let image: SealedImage
  private let run: SealedImage.Run
  private let token: SealedImage.Field

  /// Finds the text of an image by its sizes.
  ///
  /// - Parameters:
  ///   - image: Must stay unchanged while the text is read.
  ///   - textTokens: Tokens in all sequences, and one more for the end of each.
  ///   - tokenBits: Bits of a token, in `SealedLayout.fieldBitsRange`.
  /// - Throws: `size` if the image is too short for this text, `notASealedIndex` if the sizes are
  ///   impossible.
  public init(
    _ image: SealedImage, textTokens: Int, tokenBits: Int
  ) throws(SealedIndex.FormatError) {
    guard SealedLayout.fieldBitsRange.contains(tokenBits),
      (0...SealedIndexBuilder.textTokensMax).contains(textTokens)
    else { throw .notASealedIndex }
    run = SealedLayout.textRun(tokens: textTokens, tokenBits: tokenBits)
    token = SealedImage.Field(shift: 0, bits: tokenBits)
    guard run.end + SealedImage.overlapBytes <= image.byteCount else {
      throw .size(bytes: image.byteCount, expectedBytes: run.end + SealedImage.overlapBytes)
    }
    self.image = image
  }

  /// The text of an index whose header was checked.
  init(_ core: SealedCore) {
    (image, run, token) = (core.image, core.layout.text, core.layout.textToken)
  }

  /// Calls `body` with the tokens of each sequence, in the order in which they were given to the
  /// builder, until it returns `false`.
  ///
  /// - Returns: The number of tokens that follow the last end of a sequence and were not given to
  ///   `body`. 0 unless the text is damaged or `body` returned `false`.
  /// - Complexity: O(tokens). Allocates one buffer.
  @discardableResult
  public func forEachSequence(
    _ body: (_ index: Int, _ tokens: Span<Int32>) throws -> Bool
  ) rethrows -> Int {
    var tokens: [Int32] = []
    var sequence = 0
    for position in 0..<run.count {
      let token = Int32(bitPattern: image.record(run, position).load(token)) &- 1
      if token == SealedLayout.separator {
        if try !body(sequence, tokens.span) { return 0 }
        sequence += 1
        tokens.removeAll(keepingCapacity: true)
      } else {
        tokens.append(token)
      }
    }
    return tokens.count
  }
}
