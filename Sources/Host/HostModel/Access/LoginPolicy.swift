/// Counts failed logins and locks accounts, known or not: whoever guesses learns nothing from which accounts lock.
///
/// Time is in seconds on a clock that never steps back, given with each call.
public struct LoginPolicy: Equatable, Sendable {
    private struct Account: Equatable {
        var failures: UInt32 = 0
        var lockedUntil: UInt64?
        var lastFailure: UInt64 = 0
    }

    public enum Decision: Equatable, Sendable {
        case allowed
        /// Nobody gets in, the right password or not, for so many seconds.
        case locked(seconds: UInt64)
    }

    /// How many names are counted. Beyond that, the one whose last failure is oldest is forgotten, but never a protected one.
    public static let accountsMax = 256

    /// Failures in a row before an account is locked; 0 never locks.
    public var failuresMax: UInt32
    /// For how long, in seconds.
    public var lockSeconds: UInt32
    private let protected: Set<String>
    private var accounts: [String: Account] = [:]

    /// - Parameter protected: accounts that exist; guesses at other names do not push their counts out.
    public init(_ settings: AccessSettings = AccessSettings(), protected: Set<String>) {
        failuresMax = settings.failuresMax
        lockSeconds = settings.lockSeconds
        self.protected = protected
    }

    /// Whether somebody may try to log in.
    public func check(_ user: String, now: UInt64) -> Decision {
        guard failuresMax > 0, let until = accounts[user]?.lockedUntil, until > now else { return .allowed }
        return .locked(seconds: until - now)
    }

    /// A login failed.
    ///
    /// - Returns: whether that locked the account.
    public mutating func failed(_ user: String, now: UInt64) -> Bool {
        var account = accounts[user] ?? Account()
        if let until = account.lockedUntil {
            // Tries that were under way when the lock fell do not make it longer.
            if until > now { return false }
            account = Account()
        }
        account.failures = account.failures == .max ? .max : account.failures + 1
        account.lastFailure = now
        let locks = failuresMax > 0 && account.failures >= failuresMax
        if locks { account.lockedUntil = now.addingReportingOverflow(UInt64(lockSeconds)).partialValue }
        accounts[user] = account
        forgetOldest()
        return locks
    }

    /// A login succeeded: the count begins anew.
    public mutating func succeeded(_ user: String) { accounts[user] = nil }

    private mutating func forgetOldest() {
        guard accounts.count > Self.accountsMax else { return }
        let oldest = accounts.filter { !protected.contains($0.key) }
            .min { ($0.value.lastFailure, $0.key) < ($1.value.lastFailure, $1.key) }
        if let oldest { accounts[oldest.key] = nil }
    }

    // MARK: Across restarts of the agent

    /// The protected accounts' counts as text, one account a line: name, failures, last failure, end of the lock or `-`.
    public var text: String {
        accounts.filter { protected.contains($0.key) }.sorted { $0.key < $1.key }.map { name, account in
            let lock = account.lockedUntil.map { "\($0)" } ?? "-"
            return "\(name) \(account.failures) \(account.lastFailure) \(lock)\n"
        }.joined()
    }

    /// Takes counts up again, as `text` had them; lines that are not of that form, or of other accounts, are left out.
    public mutating func restore(_ text: String) {
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 4, protected.contains(String(words[0])), let failures = UInt32(words[1]),
                let last = UInt64(words[2])
            else { continue }
            accounts[String(words[0])] = Account(failures: failures, lockedUntil: UInt64(words[3]), lastFailure: last)
        }
    }
}
