// swift-tools-version: 6.2
import PackageDescription

// Every Swift target follows the same rules. Warnings are errors so that none is ever "known";
// strict memory safety marks each pointer operation with the word `unsafe`, so that a reader can
// find them all; `Lifetimes` lets the LMDB wrapper and the token spans declare what they may not
// outlive.
let rules: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableExperimentalFeature("Lifetimes"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

// `tools/test` builds for debugging, so that the packages that we depend on, the TLS library above all, are
// built sooner. Modules that compute are optimised all the same, and so are tests that compute much
// themselves: they would take several times as long. Other tests are compiled sooner without.
let isTestBuild = Context.environment["REPRISE_PACKAGE"] == "tests"
let computingRules =
  isTestBuild
  ? rules + [.unsafeFlags(["-O", "-wmo", "-num-threads", "2", "-disable-batch-mode"])] : rules

let systemPackage = Target.Dependency.product(name: "SystemPackage", package: "swift-system")

let package = Package(
  name: "reprise",
  products: [
    .executable(name: "reprise", targets: ["reprise"]),
    .library(name: "RepriseClient", targets: ["RepriseClient"]),
    // The crash tests load it into the service with LD_PRELOAD.
    .library(name: "Faults", type: .dynamic, targets: ["CFaults"]),
  ],
  traits: [
    // Without it neither service nor client encrypts, and no TLS library is built.
    .trait(name: "TLS", description: "Connections over TLS, for the service and the client"),
    .default(enabledTraits: ["TLS"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-configuration", from: "1.0.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.80.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.8.0"),
  ],
  targets: [
    // C libraries, each wrapped by exactly one Swift module.
    .systemLibrary(name: "CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    // simdjson is C++ without a C interface; this target gives it a small one.
    .target(
      name: "CSIMDJSON", cxxSettings: isTestBuild ? [.unsafeFlags(["-O2"])] : [],
      linkerSettings: [.linkedLibrary("simdjson")]),
    // Linux's own calls, for which glibc has no function or shows it to C programs only.
    .target(name: "CLinux"),

    // The layers, lowest first. Arrows point down only.
    // The values that store, wire, client and command share. It imports nothing.
    .target(name: "RepriseModel", swiftSettings: computingRules),
    // Locks with their order, waiting, worker threads: the one vocabulary of all that is concurrent.
    .target(name: "Concurrency", dependencies: ["CLinux"], swiftSettings: computingRules),
    .target(name: "UnixSocket", swiftSettings: rules),
    .target(name: "Files", dependencies: ["CLinux", systemPackage], swiftSettings: rules),
    .target(
      name: "LMDB", dependencies: ["CLMDB", "Concurrency", "Files", systemPackage],
      swiftSettings: computingRules),
    .target(name: "SuffixIndex", dependencies: ["RepriseModel"], swiftSettings: computingRules),
    .target(
      name: "Drafting", dependencies: ["RepriseModel", "SuffixIndex"], swiftSettings: computingRules
    ),
    // The errors of a store, which its layers share.
    .target(
      name: "StoreErrors", dependencies: ["Concurrency", "Files", "RepriseModel", systemPackage],
      swiftSettings: computingRules),
    // What answers drafts: growing parts, segments, sessions. It knows no files.
    .target(
      name: "HistoryEngine",
      dependencies: ["Concurrency", "Drafting", "RepriseModel", "StoreErrors", "SuffixIndex"],
      swiftSettings: computingRules),
    // The bytes of a corpus's file and of a snapshot. It knows no threads.
    .target(
      name: "CorpusFormat",
      dependencies: [
        "CLinux", "Concurrency", "CXXHash", "Files", "LMDB", "RepriseModel", "StoreErrors",
        "SuffixIndex", systemPackage,
      ],
      swiftSettings: computingRules),
    .target(
      name: "CorpusStore",
      dependencies: [
        "Concurrency", "CorpusFormat", "Files", "HistoryEngine", "LMDB", "RepriseModel",
        "StoreErrors", "SuffixIndex", systemPackage,
      ],
      swiftSettings: computingRules),
    .target(
      name: "WireProtocol", dependencies: ["CSIMDJSON", "RepriseModel"],
      swiftSettings: computingRules),
    // Access files: which tokens there are, and what their holders may do.
    .target(
      name: "Access", dependencies: ["COpenSSL", "Files", "RepriseModel", systemPackage],
      swiftSettings: rules),
    .target(
      name: "RepriseServer",
      dependencies: [
        "Access", "CLinux", "Concurrency", "CorpusStore", "Files", "HistoryEngine", "RepriseModel",
        "StoreErrors", "UnixSocket", "WireProtocol", systemPackage,
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl", condition: .when(traits: ["TLS"])),
      ],
      swiftSettings: computingRules),
    .target(
      name: "RepriseClient",
      dependencies: [
        "RepriseModel", "UnixSocket", "WireProtocol", systemPackage,
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl", condition: .when(traits: ["TLS"])),
      ],
      swiftSettings: rules),
    .executableTarget(
      name: "reprise",
      dependencies: [
        "Access", "CLinux", "Concurrency", "CorpusStore", "Files", "HistoryEngine",
        "RepriseClient", "RepriseModel", "StoreErrors", "RepriseServer", "UnixSocket",
        "WireProtocol", systemPackage,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Configuration", package: "swift-configuration"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      swiftSettings: rules),

    // Support for tests and tools, independent of the code that they judge: the oracle, random cases, a
    // service's process and its figures in /proc, a connection that can send any bytes.
    .target(
      name: "TestSupport",
      dependencies: ["CLinux", "Concurrency", "RepriseModel", "UnixSocket"],
      swiftSettings: computingRules),
    // Clients that are hostile or broken: tests check the answers to them, benchmarks measure their
    // cost for others.
    .target(
      name: "HostileClients", dependencies: ["RepriseModel", "TestSupport"], swiftSettings: rules),
    // Support for the tools below: a store to inspect, distributions of times, charts.
    .target(
      name: "ToolSupport",
      dependencies: [
        "CorpusStore", "RepriseModel",
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ],
      swiftSettings: rules),

    // Replaces malloc in benchmarks and tests, and counts.
    .target(name: "CAllocationCounter"),
    // Measures all figures of docs/reports/benchmarks.md; `tools/bench` runs it.
    .executableTarget(
      name: "reprise-bench",
      dependencies: [
        "CAllocationCounter", "CLinux", "Concurrency", "CorpusStore", "Drafting", "HistoryEngine",
        "HostileClients", "RepriseClient", "RepriseModel", "SuffixIndex", "TestSupport",
        "ToolSupport", "WireProtocol",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ],
      swiftSettings: rules),

    // Is loaded between the service and its files: records its changes, or makes them fail.
    .target(name: "CFaults"),
    // Kills the service and denies it resources, and checks the store that remains; `tools/crash`
    // runs it.
    .executableTarget(
      name: "reprise-crash",
      dependencies: [
        "Concurrency", "CorpusFormat", "CorpusStore", "HistoryEngine", "RepriseModel",
        "TestSupport", "ToolSupport",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: rules),

    // Many clients of all kinds at once, each answer checked; `tools/load` runs it.
    .executableTarget(
      name: "reprise-load",
      dependencies: [
        "Concurrency", "RepriseModel", "TestSupport", "ToolSupport", "WireProtocol",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: rules),

    .testTarget(name: "ConcurrencyTests", dependencies: ["Concurrency"], swiftSettings: rules),
    .testTarget(
      name: "RepriseModelTests", dependencies: ["RepriseModel", "TestSupport"],
      swiftSettings: rules),
    .testTarget(
      name: "LMDBTests", dependencies: ["Concurrency", "LMDB", "TestSupport"],
      swiftSettings: computingRules),
    .testTarget(
      name: "SuffixIndexTests", dependencies: ["SuffixIndex", "TestSupport"],
      swiftSettings: computingRules),
    .testTarget(
      name: "DraftingTests",
      dependencies: ["Drafting", "RepriseModel", "SuffixIndex", "TestSupport"],
      swiftSettings: computingRules),
    .testTarget(
      name: "HistoryEngineTests",
      dependencies: [
        "HistoryEngine", "RepriseModel", "StoreErrors", "SuffixIndex", "TestSupport",
      ],
      swiftSettings: rules),
    .testTarget(
      name: "CorpusFormatTests", dependencies: ["CorpusFormat", "RepriseModel", "SuffixIndex"],
      swiftSettings: rules),
    .testTarget(
      name: "CorpusStoreTests",
      dependencies: [
        "Concurrency", "CorpusFormat", "CorpusStore", "HistoryEngine", "LMDB", "RepriseModel",
        "StoreErrors", "SuffixIndex", "TestSupport",
      ],
      swiftSettings: rules),
    .testTarget(
      name: "WireProtocolTests", dependencies: ["RepriseModel", "TestSupport", "WireProtocol"],
      swiftSettings: rules),
    .testTarget(
      name: "RepriseServerTests",
      dependencies: [
        "Access", "CAllocationCounter", "Concurrency", "CorpusStore", "HistoryEngine",
        "HostileClients", "RepriseClient", "RepriseModel", "StoreErrors", "TestSupport",
        "RepriseServer", "UnixSocket", "WireProtocol",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOEmbedded", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ],
      swiftSettings: rules),
    .testTarget(
      name: "EndToEndTests",
      dependencies: [
        "RepriseClient", "RepriseModel", "TestSupport", "UnixSocket", "WireProtocol", "reprise",
      ],
      swiftSettings: rules),
  ],
  // The standard that simdjson's headers need.
  cxxLanguageStandard: .cxx17
)

// Thread sanitizer looks at what threads share: the store, the service, the client and their tests. With
// this in the environment the rest of the package is left out, which takes as long to build.
if Context.environment["REPRISE_PACKAGE"] == "shared" {
  let others = [
    "reprise", "reprise-bench", "reprise-crash", "reprise-load", "ToolSupport", "EndToEndTests",
    "CorpusFormatTests", "DraftingTests", "HistoryEngineTests", "SuffixIndexTests",
    "WireProtocolTests",
  ]
  package.targets.removeAll { others.contains($0.name) }
  package.products.removeAll { $0.name == "reprise" }
}
