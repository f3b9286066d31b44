import CMbedTLS

/// What makes a server's certificate good.
public enum TLSTrust: Hashable, Sendable {
    /// One of these authorities vouches for it, it is valid today, and it names the server.
    case authorities(TLSAuthorities)
    /// It is one of these, whatever stands in it (RFC 5425, section 4.2.2).
    case fingerprints([CertificateFingerprint])
    /// Any is: somebody between here and the server can read and change everything.
    case unverified
}

/// Certificates of authorities (or of servers that sign their own), which vouch for others.
@safe public final class TLSAuthorities: Hashable, @unchecked Sendable {
    // @unchecked: nothing changes after init, and mbedTLS only reads it.

    private let text: String
    private let first: UnsafeMutablePointer<mbedtls_x509_crt>

    /// Reads certificates in PEM (RFC 7468), one after the other; what stands between them does not count.
    ///
    /// - Throws: `.noAuthority` if there is none, `.unreadableAuthorities` if some cannot be read.
    public init(pem text: String) throws(TLSFailure) {
        self.text = text
        unsafe first = .allocate(capacity: 1)
        unsafe mbedtls_x509_crt_init(first)
        // The zero byte at the end counts: by it mbedTLS knows the form.
        let bytes = Array(text.utf8) + [0]
        let result = unsafe mbedtls_x509_crt_parse(first, bytes, bytes.count)
        if result == 0 { return }
        // With a part of them missing, who is trusted would not be what was asked for.
        throw text.contains("-----BEGIN CERTIFICATE-----") ? .unreadableAuthorities : .noAuthority
    }

    deinit {
        unsafe mbedtls_x509_crt_free(first)
        unsafe first.deallocate()
    }

    /// For mbedTLS, which reads it as long as a session lasts.
    @unsafe var chain: UnsafeMutablePointer<mbedtls_x509_crt> { unsafe first }

    public static func == (left: TLSAuthorities, right: TLSAuthorities) -> Bool { left.text == right.text }
    public func hash(into hasher: inout Hasher) { hasher.combine(text) }
}
