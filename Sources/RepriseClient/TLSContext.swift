import NIOCore

#if TLS
  import NIOSSL

  /// The certificates of a client, read once, and the handlers that encrypt its connections.
  struct TLSContext {
    private let context: NIOSSLContext

    /// Reads the files.
    init(_ files: RepriseClient.TLS) throws {
      var configuration = TLSConfiguration.makeClientConfiguration()
      configuration.minimumTLSVersion = .tlsv12
      if let authority = files.authority { configuration.trustRoots = .file(authority) }
      if let certificate = files.certificate, let key = files.key {
        configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate).map {
          .certificate($0)
        }
        configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
      }
      context = try NIOSSLContext(configuration: configuration)
    }

    /// Creates the handler of one connection.
    ///
    /// - Parameter host: The host of the connection: a name, or an address.
    func makeHandler(host: String) throws -> any ChannelHandler {
      // A certificate for a name is checked against the name; one for an address against the peer's
      // address.
      let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
      return try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host)
    }
  }
#else
  /// A build without the package trait `TLS` opens no encrypted connection.
  struct TLSContext {
    struct LeftOut: Error, CustomStringConvertible {
      var description: String { "this build has no TLS; build with the package trait TLS" }
    }

    init(_ files: RepriseClient.TLS) throws { throw LeftOut() }
    func makeHandler(host: String) throws -> any ChannelHandler { throw LeftOut() }
  }
#endif
