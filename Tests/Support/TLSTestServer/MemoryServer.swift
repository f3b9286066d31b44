import CMbedTLS
import TLS

/// The server's side of a TLS session, by mbedTLS itself, over bytes as `TLSClient` is.
public final class MemoryServer {
    public struct UnusableIdentity: Error {}

    private let transport = TLSTransport()
    private let random: TLSRandom
    private let session = UnsafeMutablePointer<mbedtls_ssl_context>.allocate(capacity: 1)
    private let configuration = UnsafeMutablePointer<mbedtls_ssl_config>.allocate(capacity: 1)
    private let certificate = UnsafeMutablePointer<mbedtls_x509_crt>.allocate(capacity: 1)
    private let key = UnsafeMutablePointer<mbedtls_pk_context>.allocate(capacity: 1)
    public private(set) var isOpen = false
    /// What the client sent.
    public private(set) var plaintext: [UInt8] = []
    /// mbedTLS's error that ended the session.
    public private(set) var failure: CInt?

    /// - Parameters:
    ///   - pem: its certificate.
    ///   - key: the certificate's key, in PEM.
    ///   - sequence: begins a sequence of numbers used in place of random ones.
    public init(pem: String, key text: String, sequence: UInt64? = nil) throws {
        random = TLSRandom(sequence: sequence)
        mbedtls_ssl_init(session)
        mbedtls_ssl_config_init(configuration)
        mbedtls_x509_crt_init(certificate)
        mbedtls_pk_init(key)
        // The zero byte at the end tells mbedTLS that it is PEM.
        let pem = Array(pem.utf8) + [0]
        let text = Array(text.utf8) + [0]
        guard mbedtls_x509_crt_parse(certificate, pem, pem.count) == 0,
            mbedtls_pk_parse_key(key, text, text.count, nil, 0) == 0,
            mbedtls_ssl_config_defaults(
                configuration, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT) == 0,
            mbedtls_ssl_conf_own_cert(configuration, certificate, key) == 0
        else { throw UnusableIdentity() }
        mbedtls_ssl_conf_rng(configuration, TLSRandom.generate, Unmanaged.passUnretained(random).toOpaque())
        guard mbedtls_ssl_setup(session, configuration) == 0 else { throw UnusableIdentity() }
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

    /// Takes bytes from the client. After the session's end they are ignored.
    public func receive(_ bytes: [UInt8]) {
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

    /// Says something to the client.
    ///
    /// - Returns: whether it could.
    public func send(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBufferPointer { mbedtls_ssl_write(session, $0.baseAddress, $0.count) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(Int(count))
        }
        return true
    }

    public func close() { mbedtls_ssl_close_notify(session) }

    public func takeOutput() -> [UInt8] { transport.takeOutput() }
}
