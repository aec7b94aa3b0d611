import Files
import NIOCore

#if TLS
  import Concurrency
  import NIOSSL

  /// The keys for encrypting connections. They can be read again: new connections then use the new
  /// certificate, open ones keep the old one.
  final class Certificates: Sendable {
    private let files: TLSFiles
    private let context: Locked<NIOSSLContext>

    init(_ files: TLSFiles) throws(StartError) {
      self.files = files
      context = Locked(try Self.read(files))
    }

    func reload() throws(StartError) {
      let new = try Self.read(files)
      context.withLock { $0 = new }
    }

    func makeHandler() -> any ChannelHandler {
      NIOSSLServerHandler(context: context.withLock { $0 })
    }

    private static func read(_ files: TLSFiles) throws(StartError) -> NIOSSLContext {
      func read<Value>(_ path: String, _ body: () throws -> Value) throws(StartError) -> Value {
        do { try Files.checkReadable(path) } catch {
          throw .certificate(reason: "\(path) cannot be read: \(error)")
        }
        do {
          return try body()
        } catch {
          throw .certificate(reason: "\(path) holds no usable PEM: \(error)")
        }
      }
      let chain = try read(files.certificate) {
        try NIOSSLCertificate.fromPEMFile(files.certificate).map {
          NIOSSLCertificateSource.certificate($0)
        }
      }
      let key = try read(files.key) {
        NIOSSLPrivateKeySource.privateKey(try NIOSSLPrivateKey(file: files.key, format: .pem))
      }
      var configuration = TLSConfiguration.makeServerConfiguration(
        certificateChain: chain, privateKey: key)
      configuration.minimumTLSVersion = .tlsv12
      if let authority = files.clientAuthority {
        configuration.trustRoots = .certificates(
          try read(authority) { try NIOSSLCertificate.fromPEMFile(authority) })
        // Clients have no host names to compare with.
        configuration.certificateVerification = .noHostnameVerification
      }
      return try read(files.certificate) { try NIOSSLContext(configuration: configuration) }
    }
  }
#else
  /// A build without the package trait `TLS` refuses to serve with certificates.
  final class Certificates: Sendable {
    init(_ files: TLSFiles) throws(StartError) {
      throw .certificate(
        reason:
          "\(files.certificate) cannot be used: this build has no TLS; build with the trait TLS")
    }

    func reload() throws(StartError) {}
    func makeHandler() -> any ChannelHandler { preconditionFailure("there is no such object") }
  }
#endif
