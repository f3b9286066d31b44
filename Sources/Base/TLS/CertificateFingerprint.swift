import CMbedTLS

/// A certificate's fingerprint, as RFC 5425, section 4.2.2, writes it: `sha-256:E1:2D:…`, the SHA-256 of the whole certificate (DER).
public struct CertificateFingerprint: Hashable, Sendable, CustomStringConvertible {
    /// 32 bytes.
    let digest: [UInt8]

    private static let prefix = "sha-256:"

    /// - Returns: nil unless the text is `sha-256:` and 32 pairs of hexadecimal digits with colons between them; case does not matter.
    public init?(_ text: String) {
        guard text.utf8.count == Self.prefix.utf8.count + 95, text.lowercased().hasPrefix(Self.prefix) else {
            return nil
        }
        var digest: [UInt8] = []
        for pair in text.dropFirst(Self.prefix.count).split(separator: ":", omittingEmptySubsequences: false) {
            guard pair.utf8.count == 2, pair.utf8.first != UInt8(ascii: "+"), let byte = UInt8(pair, radix: 16) else {
                return nil
            }
            digest.append(byte)
        }
        guard digest.count == 32 else { return nil }
        self.digest = digest
    }

    /// The fingerprint of a certificate as it came over the wire.
    init(_ certificate: UnsafePointer<mbedtls_x509_crt>) {
        var digest = [UInt8](repeating: 0, count: 32)
        // mbedTLS keeps the certificate's bytes as long as the certificate. With buffers of these sizes SHA-256 does not fail.
        let whole = unsafe certificate.pointee.raw
        _ = unsafe mbedtls_sha256_ret(whole.p, whole.len, &digest, 0)
        self.digest = digest
    }

    public var description: String {
        let pairs = digest.map { byte in
            let digits = String(byte, radix: 16, uppercase: true)
            return digits.utf8.count == 1 ? "0" + digits : digits
        }
        return Self.prefix + pairs.joined(separator: ":")
    }
}
