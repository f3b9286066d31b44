import CMbedTLS

extension TLSFailure {
    /// What mbedTLS's error of a handshake or a session means.
    ///
    /// - Parameters:
    ///   - flags: what it found wrong with the certificate.
    ///   - alert: the alert that the server sent last.
    init(_ result: CInt, flags: UInt32, alert: UInt8, server: TLSServerName) {
        switch result {
        case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED: self = Self.verification(flags, server)
        case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE: self = alert == 70 ? .protocolVersion : .alert(alert)
        case MBEDTLS_ERR_SSL_INVALID_RECORD: self = .notTLS
        case MBEDTLS_ERR_SSL_BAD_HS_PROTOCOL_VERSION: self = .protocolVersion
        case MBEDTLS_ERR_SSL_ALLOC_FAILED: self = .noMemory
        case MBEDTLS_ERR_ENTROPY_SOURCE_FAILED: self = .noRandomNumbers
        case MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE:
            self = flags == 0 ? .unreadableCertificate : Self.verification(flags, server)
        default:
            // Errors are the sum of a cause (the low seven bits) and the part that it was found in.
            let part = -Int(result) & ~0x7f
            let isCertificate = (0x2080...0x2900).contains(part) || (0x3980...0x3f80).contains(part)
            self = isCertificate ? .unreadableCertificate : .protocolViolation(result)
        }
    }

    /// The worst of what is wrong with a certificate: what nobody vouches for is believed in nothing else it says.
    private static func verification(_ flags: UInt32, _ server: TLSServerName) -> TLSFailure {
        func has(_ flag: CInt) -> Bool { flags & UInt32(bitPattern: flag) != 0 }
        if has(MBEDTLS_X509_BADCERT_NOT_TRUSTED) { return .unknownAuthority }
        if has(MBEDTLS_X509_BADCERT_CN_MISMATCH) { return .wrongName(server) }
        if has(MBEDTLS_X509_BADCERT_EXPIRED) { return .certificateExpired }
        if has(MBEDTLS_X509_BADCERT_FUTURE) { return .certificateNotYetValid }
        if has(MBEDTLS_X509_BADCERT_BAD_MD) || has(MBEDTLS_X509_BADCERT_BAD_PK) || has(MBEDTLS_X509_BADCERT_BAD_KEY) {
            return .weakCertificate
        }
        if has(MBEDTLS_X509_BADCERT_KEY_USAGE) || has(MBEDTLS_X509_BADCERT_EXT_KEY_USAGE)
            || has(MBEDTLS_X509_BADCERT_NS_CERT_TYPE)
        {
            return .unsuitableCertificate
        }
        return .unreadableCertificate
    }
}
