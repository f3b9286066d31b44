import CSodium

/// A password as it is stored: hashed with Argon2id (RFC 9106), as `$argon2id$v=19$m=…,t=…,p=1$SALT$HASH`.
public struct PasswordHash: Equatable, Sendable {
    /// What one hash costs: 12 MiB of memory gone over three times, one of the settings that OWASP's password storage cheat sheet
    /// holds equal. See docs/decisions/0004-libsodium.md for how long that takes.
    public static let memoryKibibytes = 12 * 1024
    public static let passes = 3
    /// Longest password that is looked at, in bytes of UTF-8.
    public static let passwordMax = 1024
    /// A stored hash may ask for no more than this: it can come from a backup file that somebody made up.
    static let memoryKibibytesMax = 64 * 1024
    static let passesMax = 16

    /// The form it is stored in.
    public let text: String

    public enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        /// Longer than `passwordMax`, or with a zero byte in it.
        case unusablePassword
        case noMemory

        public var description: String {
            switch self {
            case .unusablePassword: "a password has at most \(PasswordHash.passwordMax) bytes and no zero byte"
            case .noMemory: "there is not enough memory to hash the password"
            }
        }
    }

    /// Hashes a new password, with fresh salt.
    public init(password: String) throws(Failure) {
        try self.init(password: password, memoryKibibytes: Self.memoryKibibytes, passes: Self.passes)
    }

    /// The same at another cost, so that tests need not wait.
    init(password: String, memoryKibibytes: Int, passes: Int) throws(Failure) {
        guard Self.isUsable(password) else { throw .unusablePassword }
        _ = Sodium.isPrepared
        let password = Array(password.utf8CString)
        var output = [CChar](repeating: 0, count: 128)  // crypto_pwhash_argon2id_STRBYTES
        let result = unsafe crypto_pwhash_argon2id_str(
            &output, password, UInt64(password.count - 1), UInt64(passes), memoryKibibytes * 1024)
        guard result == 0 else { throw .noMemory }
        text = String(decoding: output.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Takes a stored hash.
    ///
    /// - Returns: nil if the text is no Argon2id hash, or asks for more memory or passes than any of ours would.
    public init?(text: String) {
        guard Self.cost(of: text) != nil else { return nil }
        self.text = text
    }

    /// Whether this is the password.
    public func matches(_ password: String) -> Bool {
        guard Self.isUsable(password) else { return false }
        _ = Sodium.isPrepared
        let password = Array(password.utf8CString)
        let stored = Array(text.utf8CString)
        return unsafe crypto_pwhash_argon2id_str_verify(stored, password, UInt64(password.count - 1)) == 0
    }

    /// Whether it was made at another cost than new ones are: after the next good login it should be replaced.
    public var isOutdated: Bool { Self.cost(of: text) ?? (0, 0) != (Self.memoryKibibytes, Self.passes) }

    private static func isUsable(_ password: String) -> Bool {
        password.utf8.count <= passwordMax && !password.utf8.contains(0)
    }

    /// Memory in KiB and passes that a stored hash asks for; nil if it is none or asks for too much.
    private static func cost(of text: String) -> (memory: Int, passes: Int)? {
        let fields = text.split(separator: "$", omittingEmptySubsequences: false)
        // libsodium's buffer for the text has 128 bytes with the final zero.
        guard text.utf8.count < 128, fields.count == 6, fields[0].isEmpty, fields[1] == "argon2id", fields[2] == "v=19"
        else { return nil }
        let parameters = fields[3].split(separator: ",", omittingEmptySubsequences: false)
        guard parameters.count == 3, parameters[2] == "p=1", let memory = number(parameters[0], after: "m="),
            let passes = number(parameters[1], after: "t="), (8...memoryKibibytesMax).contains(memory),
            (1...passesMax).contains(passes)
        else { return nil }
        return (memory, passes)
    }

    private static func number(_ field: Substring, after name: String) -> Int? {
        field.hasPrefix(name) ? Int(field.dropFirst(name.count)) : nil
    }
}
