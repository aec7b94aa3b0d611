import NIOCore
import NIOSSL

extension RepriseClient.TLS {
  /// Reads the files.
  func makeContext() throws -> NIOSSLContext {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.minimumTLSVersion = .tlsv12
    if let authority { configuration.trustRoots = .file(authority) }
    if let certificate, let key {
      configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate).map {
        .certificate($0)
      }
      configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
    }
    return try NIOSSLContext(configuration: configuration)
  }

  func makeHandler(for host: String, _ context: NIOSSLContext) throws -> NIOSSLClientHandler {
    // A certificate is for a name; one for an address is compared with where the connection goes.
    let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
    return try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host)
  }
}
