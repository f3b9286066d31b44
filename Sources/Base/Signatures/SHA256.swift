import CSodium

/// SHA-256 (FIPS 180-4) over bytes that come piece by piece.
public struct SHA256: Sendable {
    /// Bytes of a digest.
    public static let size = 32

    private var state = crypto_hash_sha256_state()

    public init() {
        _ = Sodium.isPrepared
        _ = unsafe crypto_hash_sha256_init(&state)
    }

    /// Takes the next bytes in.
    public mutating func update(_ bytes: Span<UInt8>) {
        unsafe bytes.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            _ = unsafe crypto_hash_sha256_update(&state, base, UInt64(buffer.count))
        }
    }

    /// Takes the next bytes in.
    public mutating func update(_ bytes: [UInt8]) { update(bytes.span) }

    /// The digest of everything taken in so far: 32 bytes. More may be taken in afterwards.
    public func digest() -> [UInt8] {
        // Finishing uses a state up.
        var copy = state
        return unsafe [UInt8](unsafeUninitializedCapacity: Self.size) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            _ = unsafe crypto_hash_sha256_final(&copy, base)
            count = Self.size
        }
    }

    /// The digest of these bytes.
    public static func digest(of bytes: [UInt8]) -> [UInt8] {
        var hash = SHA256()
        hash.update(bytes)
        return hash.digest()
    }
}
