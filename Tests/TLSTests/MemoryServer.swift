import CMbedTLS
import TestCertificates
import Testing

@testable import TLS

/// The server's side of a session, by mbedTLS itself, over bytes as `TLSClient` is.
final class MemoryServer {
    private let transport = TLSTransport()
    private let random = TLSRandom(sequence: nil)
    private let session = UnsafeMutablePointer<mbedtls_ssl_context>.allocate(capacity: 1)
    private let configuration = UnsafeMutablePointer<mbedtls_ssl_config>.allocate(capacity: 1)
    private let certificate = UnsafeMutablePointer<mbedtls_x509_crt>.allocate(capacity: 1)
    private let key = UnsafeMutablePointer<mbedtls_pk_context>.allocate(capacity: 1)
    private(set) var isOpen = false
    /// What the client sent.
    private(set) var plaintext: [UInt8] = []
    /// mbedTLS's error that ended the session.
    private(set) var failure: CInt?

    init(_ identity: TestAuthority.Identity) throws {
        mbedtls_ssl_init(session)
        mbedtls_ssl_config_init(configuration)
        mbedtls_x509_crt_init(certificate)
        mbedtls_pk_init(key)
        try #require(mbedtls_x509_crt_parse_file(certificate, identity.certificate) == 0)
        try #require(mbedtls_pk_parse_keyfile(key, identity.key, nil) == 0)
        try #require(
            mbedtls_ssl_config_defaults(
                configuration, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT) == 0)
        mbedtls_ssl_conf_rng(configuration, TLSRandom.generate, Unmanaged.passUnretained(random).toOpaque())
        try #require(mbedtls_ssl_conf_own_cert(configuration, certificate, key) == 0)
        try #require(mbedtls_ssl_setup(session, configuration) == 0)
        mbedtls_ssl_set_bio(
            session, Unmanaged.passUnretained(transport).toOpaque(), TLSTransport.send, TLSTransport.receive, nil)
    }

    deinit {
        mbedtls_ssl_free(session)
        mbedtls_ssl_config_free(configuration)
        mbedtls_x509_crt_free(certificate)
        mbedtls_pk_free(key)
        session.deallocate()
        configuration.deallocate()
        certificate.deallocate()
        key.deallocate()
    }

    func receive(_ bytes: [UInt8]) {
        guard failure == nil else { return }
        transport.append(bytes)
        if !isOpen {
            let result = mbedtls_ssl_handshake(session)
            if result != 0 {
                if result != MBEDTLS_ERR_SSL_WANT_READ { failure = result }
                return
            }
            isOpen = true
        }
        var buffer = [UInt8](repeating: 0, count: 1024)
        while true {
            let count = mbedtls_ssl_read(session, &buffer, buffer.count)
            if count <= 0 {
                if count != MBEDTLS_ERR_SSL_WANT_READ { failure = count }
                return
            }
            plaintext += buffer[..<Int(count)]
        }
    }

    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBufferPointer { mbedtls_ssl_write(session, $0.baseAddress, $0.count) }
            guard count > 0 else {
                Issue.record("the server could not write: \(count)")
                return
            }
            rest = rest.dropFirst(Int(count))
        }
    }

    func close() { mbedtls_ssl_close_notify(session) }

    func takeOutput() -> [UInt8] { transport.takeOutput() }
}
