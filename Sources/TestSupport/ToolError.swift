/// The reason why a tool, or a test, cannot continue.
package struct ToolError: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}
