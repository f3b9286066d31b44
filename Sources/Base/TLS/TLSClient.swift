import CMbedTLS

/// The client's side of a TLS 1.2 session (RFC 5246) as a machine over bytes: it has no socket and never waits.
///
/// Whoever owns the connection gives `receive` what came from the server, and sends what `takeOutput` gives to the server, from
/// the beginning and after every call, also after one that failed: then it is the alert that tells the server why.
@safe public final class TLSClient {
    public enum State: Hashable, Sendable {
        /// Who the server is has not been shown yet; nothing can be sent.
        case handshaking
        /// The server is who it should be.
        case open
        /// Either side closed the session, or it failed.
        case closed
    }

    public private(set) var state = State.handshaking

    private let server: TLSServerName
    private let trust: TLSTrust
    private let transport = TLSTransport()
    private let random: TLSRandom
    private var plaintext: [UInt8] = []
    // Allocated by init, freed by deinit; mbedTLS keeps pointers from the second to the first.
    private let configuration: UnsafeMutablePointer<mbedtls_ssl_config>
    private let session: UnsafeMutablePointer<mbedtls_ssl_context>

    /// Key agreement that keeps old sessions secret, and authenticated encryption; among them what RFC 9662, section 4, wants
    /// every secure syslog to have, ECDHE-RSA with AES-128-GCM.
    private static let suiteNumbers = [
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ]
    /// The same for mbedTLS, which reads up to a zero for as long as there are sessions: made once and never freed.
    nonisolated(unsafe) private static let suites: UnsafePointer<CInt> = {
        let suites = UnsafeMutableBufferPointer<CInt>.allocate(capacity: suiteNumbers.count + 1)
        _ = unsafe suites.initialize(fromContentsOf: suiteNumbers + [0])
        // Not empty: it has an address.
        return unsafe UnsafePointer(suites.baseAddress.unsafelyUnwrapped)
    }()

    /// Begins a session: the first message is there to be sent.
    ///
    /// - Parameters:
    ///   - server: who the certificate must name, and, if that is a name, whom the server is told it is asked for.
    ///   - trust: what makes the certificate good.
    public convenience init(server: TLSServerName, trust: TLSTrust) throws(TLSFailure) {
        try self.init(server: server, trust: trust, sequence: nil)
    }

    /// - Parameter sequence: begins a sequence of numbers used in place of random ones. Such a session is open to everyone: it is
    ///   for fuzzing, where an input must do the same each time.
    package init(server: TLSServerName, trust: TLSTrust, sequence: UInt64?) throws(TLSFailure) {
        self.server = server
        self.trust = trust
        random = TLSRandom(sequence: sequence)
        unsafe configuration = .allocate(capacity: 1)
        unsafe session = .allocate(capacity: 1)
        unsafe mbedtls_ssl_config_init(configuration)
        unsafe mbedtls_ssl_init(session)
        try check(
            unsafe mbedtls_ssl_config_defaults(
                configuration, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT))
        configure()
        try check(unsafe mbedtls_ssl_setup(session, configuration))
        if case .name(let name) = server, unsafe mbedtls_ssl_set_hostname(session, name) != 0 { throw .unusableName }
        // mbedTLS has the transport as long as the session, which this object ends before the transport goes.
        unsafe mbedtls_ssl_set_bio(
            session, Unmanaged.passUnretained(transport).toOpaque(), TLSTransport.send, TLSTransport.receive, nil)
        try shakeHands()
    }

    deinit {
        unsafe mbedtls_ssl_free(session)
        unsafe mbedtls_ssl_config_free(configuration)
        unsafe session.deallocate()
        unsafe configuration.deallocate()
    }

    private func configure() {
        unsafe mbedtls_ssl_conf_min_version(configuration, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3)
        unsafe mbedtls_ssl_conf_ciphersuites(configuration, Self.suites)
        unsafe mbedtls_ssl_conf_rng(
            configuration, TLSRandom.generate, Unmanaged.passUnretained(random).toOpaque())
        // Sessions last for days; what tickets save is not worth keeping secrets for.
        unsafe mbedtls_ssl_conf_session_tickets(configuration, MBEDTLS_SSL_SESSION_TICKETS_DISABLED)
        switch trust {
        case .authorities(let authorities):
            unsafe mbedtls_ssl_conf_authmode(configuration, MBEDTLS_SSL_VERIFY_REQUIRED)
            unsafe mbedtls_ssl_conf_ca_chain(configuration, authorities.chain, nil)
        case .fingerprints, .unverified:
            // A fingerprint is compared once the server has shown that it holds the certificate's key.
            unsafe mbedtls_ssl_conf_authmode(configuration, MBEDTLS_SSL_VERIFY_NONE)
        }
    }

    // MARK: Bytes in, bytes out

    /// Takes bytes that came from the server. After the session's end they are ignored.
    ///
    /// - Throws: why the session failed; that is its end.
    public func receive(_ bytes: [UInt8]) throws(TLSFailure) {
        guard state != .closed else { return }
        transport.append(bytes)
        if state == .handshaking { try shakeHands() }
        if state == .open { try decrypt() }
    }

    /// Bytes that wait for `takeOutput`. A server may ask for answers that it never reads: the owner of the connection says when
    /// that is too much.
    public var outputCount: Int { transport.outputCount }

    /// What is to be sent to the server now.
    public func takeOutput() -> [UInt8] { transport.takeOutput() }

    /// What the server said, decrypted.
    public func takePlaintext() -> [UInt8] {
        defer { plaintext = [] }
        return plaintext
    }

    /// Encrypts bytes for the server.
    ///
    /// - Throws: `.notOpen` unless the session is open.
    public func send(_ bytes: [UInt8]) throws(TLSFailure) {
        guard state == .open else { throw .notOpen }
        var sent = 0
        while sent < bytes.count {
            // At most a record (16 KiB) at a time; it says how much it took.
            let result = unsafe bytes[sent...].withUnsafeBufferPointer { rest in
                unsafe mbedtls_ssl_write(session, rest.baseAddress, rest.count)
            }
            guard result > 0 else { throw fail(result) }
            sent += Int(result)
        }
    }

    /// Says to the server that nothing more comes (close_notify), and ends the session.
    public func close() {
        // There is always room for it.
        if state == .open { _ = unsafe mbedtls_ssl_close_notify(session) }
        state = .closed
    }

    // MARK: mbedTLS

    private func shakeHands() throws(TLSFailure) {
        let result = unsafe mbedtls_ssl_handshake(session)
        switch result {
        case 0:
            try checkCertificate()
            state = .open
        case MBEDTLS_ERR_SSL_WANT_READ: break
        default: throw fail(result)
        }
    }

    private func decrypt() throws(TLSFailure) {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let result = unsafe mbedtls_ssl_read(session, &buffer, buffer.count)
            switch result {
            case 1...CInt(buffer.count): plaintext += buffer[..<Int(result)]
            case MBEDTLS_ERR_SSL_WANT_READ: return
            case 0, MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
                close()
                return
            default: throw fail(result)
            }
        }
    }

    /// Checks what mbedTLS does not.
    private func checkCertificate() throws(TLSFailure) {
        if trust == .unverified { return }
        // All our suites have certificates. It belongs to the session.
        guard let certificate = unsafe mbedtls_ssl_get_peer_cert(session) else { throw refuse(.unreadableCertificate) }
        switch trust {
        case .authorities:
            if unsafe !server.addressMatches(certificate) { throw refuse(.wrongName(server)) }
        case .fingerprints(let known):
            let found = unsafe CertificateFingerprint(certificate)
            if !known.contains(found) { throw refuse(.wrongFingerprint(found)) }
        case .unverified: break
        }
    }

    private func refuse(_ failure: TLSFailure) -> TLSFailure {
        _ = unsafe mbedtls_ssl_send_alert_message(
            session, UInt8(MBEDTLS_SSL_ALERT_LEVEL_FATAL), UInt8(MBEDTLS_SSL_ALERT_MSG_BAD_CERT))
        state = .closed
        return failure
    }

    private func check(_ result: CInt) throws(TLSFailure) {
        if result != 0 { throw fail(result) }
    }

    private func fail(_ result: CInt) -> TLSFailure {
        state = .closed
        let flags = unsafe mbedtls_ssl_get_verify_result(session)
        // Level and description, if the last message was an alert: then mbedTLS has read both.
        let alert = unsafe result == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE ? session.pointee.in_msg?[1] ?? 0 : 0
        // All bits: there was no certificate yet.
        return TLSFailure(result, flags: flags == .max ? 0 : flags, alert: alert, server: server)
    }
}
