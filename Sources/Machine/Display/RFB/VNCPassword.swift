import CMbedTLS

/// What a client has to answer to a challenge: "VNC authentication" (RFC 6143, section 7.2.2).
///
/// It is DES with a password of at most eight characters: it keeps the curious out, and nobody who listens on the wire. Whoever offers a screen beyond
/// this host puts something better around the connection.
enum VNCPassword {
    /// Bytes of a challenge and of its answer.
    static let challengeSize = 16

    /// - Parameter challenge: 16 bytes.
    /// - Returns: 16 bytes; nil if the cipher cannot be had.
    static func response(to challenge: [UInt8], password: String) -> [UInt8]? {
        guard challenge.count == challengeSize else { return nil }
        var key = Array(password.utf8.prefix(8))
        key += [UInt8](repeating: 0, count: 8 - key.count)
        // Each byte of the key is used with its bits in reverse, as the first implementation did it.
        for index in key.indices { key[index] = reversed(key[index]) }
        var context = mbedtls_des_context()
        unsafe mbedtls_des_init(&context)
        defer { unsafe mbedtls_des_free(&context) }
        guard unsafe mbedtls_des_setkey_enc(&context, key) == 0 else { return nil }
        var response: [UInt8] = []
        for start in [0, 8] {
            let block = Array(challenge[start..<start + 8])
            var encrypted = [UInt8](repeating: 0, count: 8)
            guard unsafe mbedtls_des_crypt_ecb(&context, block, &encrypted) == 0 else { return nil }
            response += encrypted
        }
        return response
    }

    private static func reversed(_ byte: UInt8) -> UInt8 {
        (0..<8).reduce(UInt8(0)) { $0 | (byte >> UInt8($1) & 1) << UInt8(7 - $1) }
    }
}
