/// The rule by which tokens are drafted. docs/internals/drafting.md describes both.
public enum DraftPolicy: String, Sendable, CaseIterable {
  /// SuffixDecoding as published (arXiv 2411.04975): one length of match and its count ratios.
  case suffixDecoding = "suffixdecoding"
  /// One estimate of the next token from all lengths of match in all histories.
  case estimate
}
