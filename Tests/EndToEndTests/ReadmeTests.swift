import Foundation
import Testing

/// The shell examples in README.md run unchanged, from the first line to the last, and print the
/// output that is shown.
@Suite struct ReadmeTests {
  /// Commands after "$ " that call `reprise`, each with the lines that stand below it.
  private static func commands() throws -> [(command: String, output: [String])] {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../README.md").standardizedFileURL
    var commands: [(command: String, output: [String])] = []
    // Between two fences; blocks of other languages have their name behind the first one.
    var (isFenced, isBlock) = (false, false)
    for line in try String(contentsOf: path, encoding: .utf8).split(
      separator: "\n", omittingEmptySubsequences: false)
    {
      if line.hasPrefix("```") {
        isFenced.toggle()
        isBlock = isFenced && line == "```"
      } else if isBlock, line.hasPrefix("$ "), line.contains("reprise ") {
        commands.append((String(line.dropFirst(2)), []))
      } else if isBlock, !line.hasPrefix("$ "), !commands.isEmpty {
        commands[commands.count - 1].output.append(String(line))
      }
    }
    // An engine's command, which is not installed here.
    return commands.filter { !$0.command.contains("vllm serve") }
  }

  @Test func theExamplesRunAsTheyStand() throws {
    let directory = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let commands = try Self.commands()
    #expect(commands.count >= 12)
    // One shell runs all of them. It waits for services that were started as a person does, stops
    // them at its end, and prints the status of each command.
    var script = "set -u\nexport PATH=\(repriseBinary.deletingLastPathComponent().path):$PATH\n"
    script += "trap 'kill $(jobs -p); wait' EXIT\n"
    for (place, example) in commands.enumerated() {
      // Another process may have the port.
      let command = example.command.replacing(/127\.0\.0\.1:\d+/, with: "127.0.0.1:0")
      script += "echo '## \(place)'\n\(command)\necho \"## status $?\"\n"
      if let socket = command.firstMatch(of: /^reprise serve .*--socket (\S+) .*&/)?.1 {
        script += "for i in $(seq 600); do [ -S \(socket) ] && break; sleep 0.05; done\n"
      }
    }
    let shell = Process()
    shell.executableURL = URL(fileURLWithPath: "/bin/bash")
    shell.arguments = ["-c", script]
    shell.currentDirectoryURL = URL(fileURLWithPath: directory)
    let output = Pipe()
    shell.standardOutput = output
    // The services' logs.
    let errors = FileManager.default.temporaryDirectory.appendingPathComponent(
      "reprise-\(UUID().uuidString.prefix(8)).log")
    try Data().write(to: errors)
    defer { try? FileManager.default.removeItem(at: errors) }
    shell.standardError = try FileHandle(forWritingTo: errors)
    try shell.run()
    let printed = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    shell.waitUntilExit()
    let parts = printed.split(separator: /## \d+\n/)
    #expect(parts.count == commands.count)
    for (example, part) in zip(commands, parts) {
      let told = try? String(contentsOf: errors, encoding: .utf8)
      #expect(part.contains("## status 0\n"), "\(example.command)\n\(part)\n\(told ?? "")")
      for line in example.output { #expect(part.contains(line), "\(example.command)\n\(part)") }
    }
  }
}
