import CSodium

/// Keys and signatures of Ed25519 (RFC 8032).
public enum Ed25519 {
    /// Bytes of a signature.
    public static let signatureSize = 64

    /// What a signature is checked with.
    public struct PublicKey: Hashable, Sendable {
        public static let size = 32
        public let bytes: [UInt8]

        /// - Returns: nil unless there are 32 bytes.
        public init?(_ bytes: [UInt8]) {
            guard bytes.count == Self.size else { return nil }
            self.bytes = bytes
        }

        /// Whether whoever holds the secret key signed exactly this message.
        public func verifies(_ signature: [UInt8], of message: [UInt8]) -> Bool {
            guard signature.count == Ed25519.signatureSize else { return false }
            _ = Sodium.isPrepared
            // Lengths of key and signature are what libsodium reads: checked here and in init.
            return unsafe crypto_sign_verify_detached(signature, message, UInt64(message.count), bytes) == 0
        }

        /// Reads a file of keys: 64 hexadecimal digits a line; empty lines and those that start with `#` do not count.
        ///
        /// - Returns: nil if a line is anything else.
        public static func list(_ text: String) -> [PublicKey]? {
            var keys: [PublicKey] = []
            for line in text.split(whereSeparator: \.isNewline) {
                let word = line.drop { $0 == " " }.prefix { $0 != " " && $0 != "#" }
                if word.isEmpty { continue }
                guard let bytes = Hexadecimal.bytes(word), let key = PublicKey(bytes) else { return nil }
                keys.append(key)
            }
            return keys
        }
    }

    /// What signatures are made with.
    public struct SecretKey: Sendable {
        /// Bytes of the seed that the key is made from, which is also how a key is stored.
        public static let seedSize = 32
        /// libsodium's form: seed and public key.
        private let bytes: [UInt8]
        public let publicKey: PublicKey

        /// The key of a seed; the same seed gives the same key.
        ///
        /// - Returns: nil unless there are 32 bytes.
        public init?(seed: [UInt8]) {
            guard seed.count == Self.seedSize else { return nil }
            _ = Sodium.isPrepared
            var secret = [UInt8](repeating: 0, count: 64)
            var open = [UInt8](repeating: 0, count: PublicKey.size)
            guard unsafe crypto_sign_seed_keypair(&open, &secret, seed) == 0, let key = PublicKey(open) else {
                return nil
            }
            bytes = secret
            publicKey = key
        }

        /// Signs a message: 64 bytes.
        public func signature(of message: [UInt8]) -> [UInt8] {
            var signature = [UInt8](repeating: 0, count: Ed25519.signatureSize)
            _ = unsafe crypto_sign_detached(&signature, nil, message, UInt64(message.count), bytes)
            return signature
        }
    }
}
