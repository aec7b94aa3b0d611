import Access

#if TLS
  import CorpusStore
  import Foundation
  import Logging
  import RepriseClient
  import Testing
  import RepriseServer

  /// Encrypted connections over TCP, with real certificates created by openssl.
  @Suite struct TLSTests {
    /// A certificate of its own authority, for localhost.
    private struct Authority {
      let certificate: String
      let key: String

      init(_ name: String, in directory: String) throws {
        certificate = "\(directory)/\(name).pem"
        key = "\(directory)/\(name).key"
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments = [
          "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
          "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost", "-addext",
          "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
      }
    }

    private final class Encrypted {
      let directory = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
      let store: Store
      let authority: Authority
      let clients: Authority
      let service: RepriseServer
      let token = TokenDigest.newToken()

      init(asksClients: Bool = false) async throws {
        try FileManager.default.createDirectory(
          atPath: directory, withIntermediateDirectories: true)
        store = try Store(path: directory + "/store")
        authority = try Authority("server", in: directory)
        clients = try Authority("client", in: directory)
        try AccessFile.add(
          AccessFile.Entry(grant: .everything.named("all"), digest: TokenDigest(token: token)),
          to: directory + "/access.json")
        var options = ServiceOptions(.tcp(host: "127.0.0.1", port: 0))
        options.accessFile = directory + "/access.json"
        options.tls = TLSFiles(
          certificate: authority.certificate, key: authority.key,
          clientAuthority: asksClients ? clients.certificate : nil)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        service = try await RepriseServer.start(store, options, logger: logger)
      }

      func stop() async throws {
        try await service.stop()
        store.close()
        try FileManager.default.removeItem(atPath: directory)
      }

      /// True if a client that trusts an authority, and presents a certificate, gets an answer.
      func isAnswered(
        trusting trusted: Authority?, showing own: Authority? = nil, host: String = "127.0.0.1",
        token: String? = nil
      ) async -> Bool {
        var configuration = RepriseClient.Configuration()
        configuration.deadline = .seconds(20)
        configuration.accessToken = token ?? self.token
        configuration.tls = trusted.map {
          RepriseClient.TLS(
            authority: $0.certificate, certificate: own?.certificate, key: own?.key)
        }
        let client = RepriseClient(
          .tcp(host: host, port: service.port ?? 0), configuration: configuration)
        let answer = try? await client.corpora()
        await client.close()
        return answer != nil
      }
    }

    @Test func aClientThatKnowsTheAuthorityAndATokenIsAnswered() async throws {
      let encrypted = try await Encrypted()
      let right = await encrypted.isAnswered(trusting: encrypted.authority)
      let byName = await encrypted.isAnswered(trusting: encrypted.authority, host: "localhost")
      let wrongAuthority = await encrypted.isAnswered(trusting: encrypted.clients)
      let inTheClear = await encrypted.isAnswered(trusting: nil)
      let wrongToken = await encrypted.isAnswered(trusting: encrypted.authority, token: "rp_x")
      #expect(right && byName)
      #expect(!wrongAuthority && !inTheClear && !wrongToken)
      try await encrypted.stop()
    }

    @Test func clientsShowACertificateWhereTheyAreAsked() async throws {
      let encrypted = try await Encrypted(asksClients: true)
      let (authority, clients) = (encrypted.authority, encrypted.clients)
      let right = await encrypted.isAnswered(trusting: authority, showing: clients)
      let none = await encrypted.isAnswered(trusting: authority)
      let wrong = await encrypted.isAnswered(trusting: authority, showing: authority)
      #expect(right && !none && !wrong)
      try await encrypted.stop()
    }

    @Test func aNewCertificateIsReadWhileTheServiceRuns() async throws {
      let encrypted = try await Encrypted()
      let old = encrypted.authority
      // Kept, because the files are overwritten.
      let oldCertificate = encrypted.directory + "/old.pem"
      try FileManager.default.copyItem(atPath: old.certificate, toPath: oldCertificate)
      let new = try Authority("server", in: encrypted.directory)
      let before = await encrypted.isAnswered(trusting: new)
      encrypted.service.reload()
      let after = await encrypted.isAnswered(trusting: new)
      #expect(!before && after)
      // Files that cannot be used change nothing.
      try Data("nonsense".utf8).write(to: URL(fileURLWithPath: new.key))
      encrypted.service.reload()
      let still = await encrypted.isAnswered(trusting: new)
      #expect(still)
      try await encrypted.stop()
    }

    @Test func filesThatCannotBeUsedAreNamed() async throws {
      let encrypted = try await Encrypted()
      var options = ServiceOptions(.tcp(host: "127.0.0.1", port: 0))
      options.accessFile = encrypted.directory + "/access.json"
      for (certificate, key) in [
        ("missing.pem", encrypted.authority.key), (encrypted.authority.certificate, "missing.key"),
        (encrypted.authority.certificate, encrypted.clients.key),
      ] {
        options.tls = TLSFiles(certificate: certificate, key: key)
        do {
          try RepriseServer.check(options)
          Issue.record("\(certificate) and \(key) were taken")
        } catch {
          #expect("\(error)".hasPrefix("TLS: "))
        }
      }
      try await encrypted.stop()
    }
  }

  extension Grant {
    func named(_ name: String) -> Grant {
      var grant = self
      grant.name = name
      return grant
    }
  }
#endif
