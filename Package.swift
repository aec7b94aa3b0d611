// swift-tools-version: 6.2
import PackageDescription

// Every Swift target is held to the same rules. Warnings are errors so that none is ever "known";
// strict memory safety makes each pointer operation carry the word `unsafe`, so that a reader can
// find them all; `Lifetimes` lets the LMDB wrapper and the token spans say what they may not outlive.
let rules: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableExperimentalFeature("Lifetimes"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
  name: "reprise",
  products: [
    .executable(name: "reprise", targets: ["reprise"]),
    .library(name: "RepriseClient", targets: ["RepriseClient"]),
    // Loaded into the service by the crash tests, with LD_PRELOAD.
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
    .package(url: "https://github.com/apple/swift-system", from: "1.5.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.8.0"),
  ],
  targets: [
    // C libraries, each wrapped by exactly one Swift module.
    .systemLibrary(name: "CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    // simdjson is C++ without a C interface; this target gives it a small one.
    .target(name: "CSIMDJSON", linkerSettings: [.linkedLibrary("simdjson")]),
    // A system call that glibc has no function for.
    .target(name: "CLinux"),

    // The layers, lowest first. Arrows point down only.
    .target(name: "LMDB", dependencies: ["CLMDB"], swiftSettings: rules),
    .target(name: "SuffixIndex", swiftSettings: rules),
    .target(name: "Drafting", dependencies: ["SuffixIndex"], swiftSettings: rules),
    .target(
      name: "CorpusStore",
      dependencies: ["CLinux", "LMDB", "CXXHash", "SuffixIndex", "Drafting"],
      swiftSettings: rules),
    .target(name: "WireProtocol", dependencies: ["CSIMDJSON", "Drafting"], swiftSettings: rules),
    .target(
      name: "TreeService",
      dependencies: [
        "CLinux", "COpenSSL", "CorpusStore", "Drafting", "WireProtocol",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl", condition: .when(traits: ["TLS"])),
      ],
      swiftSettings: rules),
    .target(
      name: "RepriseClient",
      dependencies: [
        "Drafting", "WireProtocol",
        .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl", condition: .when(traits: ["TLS"])),
      ],
      swiftSettings: rules),
    .executableTarget(
      name: "reprise",
      dependencies: [
        "CLinux", "CorpusStore", "Drafting", "RepriseClient", "TreeService", "WireProtocol",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Configuration", package: "swift-configuration"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "SystemPackage", package: "swift-system"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      swiftSettings: rules),

    // What the tools below share: a service to start, a store to look into, charts.
    .target(name: "ToolSupport", dependencies: ["CorpusStore"], swiftSettings: rules),

    // Stands in for malloc in benchmarks and tests, and counts.
    .target(name: "CAllocationCounter"),
    // Measures everything that docs/reports/benchmarks.md tells; `tools/bench` runs it.
    .executableTarget(
      name: "reprise-bench",
      dependencies: [
        "CAllocationCounter", "CLinux", "CorpusStore", "Drafting", "HostileClients",
        "RepriseClient", "SuffixIndex", "ToolSupport", "WireProtocol",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ],
      swiftSettings: rules),

    // Stands between the service and its files: records what it does to them, or lets it fail.
    .target(name: "CFaults"),
    // Ends, starves and robs the service, and looks at what is left; `tools/crash` runs it.
    .executableTarget(
      name: "reprise-crash",
      dependencies: [
        "CorpusStore", "Drafting", "Oracle", "TestEffort", "ToolSupport",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: rules),

    // Many clients of all kinds at once, each answer checked; `tools/load` runs it.
    .executableTarget(
      name: "reprise-load",
      dependencies: [
        "Drafting", "Oracle", "TestEffort", "ToolSupport", "WireProtocol",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: rules),

    // The oracle is a module of its own, so that every test suite is held to the same slow answer.
    .target(name: "Oracle", path: "Tests/Oracle", swiftSettings: rules),
    // How far randomised tests go, and from which seed.
    .target(name: "TestEffort", path: "Tests/TestEffort", swiftSettings: rules),
    // Clients that are hostile or broken: tested for what they are answered, measured for what they
    // cost others.
    .target(
      name: "HostileClients", dependencies: ["WireProtocol"], path: "Tests/HostileClients",
      swiftSettings: rules),
    .testTarget(name: "LMDBTests", dependencies: ["LMDB", "TestEffort"], swiftSettings: rules),
    .testTarget(
      name: "SuffixIndexTests", dependencies: ["SuffixIndex", "Oracle", "TestEffort"],
      swiftSettings: rules),
    .testTarget(
      name: "DraftingTests", dependencies: ["Drafting", "SuffixIndex", "Oracle", "TestEffort"],
      swiftSettings: rules),
    .testTarget(
      name: "CorpusStoreTests",
      dependencies: [
        "CorpusStore", "Drafting", "LMDB", "Oracle", "SuffixIndex", "TestEffort",
      ],
      swiftSettings: rules),
    .testTarget(
      name: "WireProtocolTests", dependencies: ["WireProtocol", "Drafting", "TestEffort"],
      swiftSettings: rules),
    .testTarget(
      name: "TreeServiceTests",
      dependencies: [
        "CAllocationCounter", "CorpusStore", "Drafting", "HostileClients", "Oracle",
        "RepriseClient", "TestEffort", "TreeService", "WireProtocol",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ],
      swiftSettings: rules),
    .testTarget(
      name: "EndToEndTests",
      dependencies: ["Oracle", "RepriseClient", "TestEffort", "WireProtocol", "reprise"],
      swiftSettings: rules),
  ],
  // What simdjson's headers need.
  cxxLanguageStandard: .cxx17
)
