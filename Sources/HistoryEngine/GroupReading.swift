import RepriseModel

/// The outputs of a group as they were read, for a session to draft from.
public struct GroupReading: Sendable {
  public let group: OutputGroup
  /// `SharedHistory.groupMark` before the reading.
  let mark: Int

  /// Tokens of all outputs.
  public var tokenCount: Int { group.tokenCount }

  package init(_ group: OutputGroup, mark: Int) {
    self.group = group
    self.mark = mark
  }
}
