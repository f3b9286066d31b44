import HostLink
import HostModel
import Linux
import Signatures

/// Checks who somebody is, and changes passwords. Hashes are worked out one at a time on a thread of their own; how many
/// may wait is limited.
final class AccountDesk {
    // Belongs to the loop's thread.

    typealias Refusal = ServiceError.Refusal

    /// The one account of a host.
    static let root = "root"
    /// How many may wait for their turn.
    static let waitingMax = 16
    private static let refused = "The user name or the password is wrong."

    private struct Try {
        var user: String
        var password: String
        var origin: String
        var then: (Refusal?) -> Void
        /// Failures are counted for the console and for the world outside apart, so that nobody outside can lock the console.
        var key: String { origin.isEmpty ? "console/\(user)" : "remote/\(user)" }
    }

    private let settings: any SettingsSource
    private let journal: Journal
    private let worker: Worker
    private let stateFile: String
    private var policy = LoginPolicy(protected: ["console/\(root)", "remote/\(root)"])
    private var waiting: [Try] = []
    private var isBusy = false

    init(_ environment: HostEnvironment, settings: any SettingsSource, journal: Journal, worker: Worker) {
        self.settings = settings
        self.journal = journal
        self.worker = worker
        stateFile = "\(environment.stateDirectory)/logins"
        // A guesser who can make the agent crash must not get a new count.
        if let text = try? FileSystem.text(of: stateFile) { policy.restore(text) }
    }

    /// Checks a password. `then` gets nil if it is right.
    func login(_ user: String, _ password: String, origin: String, _ then: @escaping (Refusal?) -> Void) {
        guard waiting.count < Self.waitingMax else {
            return then(Refusal(.busy, "Too many logins at a time; try again in a moment."))
        }
        waiting.append(Try(user: user, password: password, origin: origin, then: then))
        next()
    }

    private func next() {
        guard !isBusy, !waiting.isEmpty else { return }
        let one = waiting.removeFirst()
        guard let access = settings.current?.access else {
            one.then(Refusal(.busy, "The host's settings are not read yet; try again in a moment."))
            return next()
        }
        policy.failuresMax = access.failuresMax
        policy.lockSeconds = access.lockSeconds
        // Asked when its turn comes: those before it may have locked the account.
        if case .locked(let seconds) = policy.check(one.key, now: now) {
            one.then(Refusal(.denied, Self.lockedText(seconds)))
            return next()
        }
        if one.user == Self.root, access.rootPassword.isEmpty, one.password.isEmpty {
            if one.origin.isEmpty {
                succeed(one)
            } else {
                one.then(Refusal(.denied, "No root password is set; set one at the direct console first."))
            }
            return next()
        }
        isBusy = true
        let stored = one.user == Self.root ? PasswordHash(text: access.rootPassword) : nil
        let password = one.password
        worker.run { () -> Bool in
            // Without an account, and without a password to compare with, the same work is done for nothing: time tells nobody
            // which names exist.
            let matches = (stored ?? Self.nobody)?.matches(password) ?? false
            return matches && stored != nil
        } then: { [weak self] isRight in
            guard let self else { return }
            isBusy = false
            if isRight { succeed(one) } else { fail(one) }
            next()
        }
    }

    /// A hash that no known password has, at the usual cost.
    private static let nobody = PasswordHash(
        text: "$argon2id$v=19$m=\(PasswordHash.memoryKibibytes),t=\(PasswordHash.passes),p=1"
            + "$\(String(repeating: "A", count: 22))$\(String(repeating: "A", count: 43))")

    private func succeed(_ one: Try) {
        policy.succeeded(one.key)
        save()
        journal.add(.info, by: one.user, component: Journal.logins, "\(shown(one.user)) logged in \(place(one))")
        one.then(nil)
    }

    private func fail(_ one: Try) {
        let locks = policy.failed(one.key, now: now)
        save()
        journal.add(.warning, component: Journal.logins, "A login as \(shown(one.user)) failed \(place(one))")
        if locks {
            let text =
                "\(shown(one.user)) is locked for \(policy.lockSeconds) seconds \(place(one)): too many failed logins"
            journal.add(.error, component: Journal.logins, text)
            one.then(Refusal(.denied, "\(Self.refused) \(Self.lockedText(UInt64(policy.lockSeconds)))"))
        } else {
            one.then(Refusal(.denied, Self.refused))
        }
    }

    private static func lockedText(_ seconds: UInt64) -> String {
        let minutes = (seconds + 59) / 60
        let time = seconds < 120 ? "\(seconds) seconds" : "\(minutes) minutes"
        return "The account is locked after too many failed logins; try again in \(time)."
    }

    private func place(_ one: Try) -> String { one.origin.isEmpty ? "at the console" : "from \(shown(one.origin))" }

    /// Names come from strangers: cut, and without what would break a line.
    private func shown(_ name: String) -> String {
        String(String.UnicodeScalarView(name.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7f }.prefix(64)))
    }

    // MARK: Passwords

    /// Gives root a new password, if the old one is right. `then` gets nil when it is saved.
    func setPassword(_ user: String, old: String, new: String, _ then: @escaping (Refusal?) -> Void) {
        login(user, old, origin: "") { [weak self] refusal in
            guard let self, refusal == nil else { return then(refusal) }
            let problems = PasswordRule.problems(new, user: user, old: old)
            guard problems.isEmpty else { return then(Refusal(.invalid, problems.joined(separator: "\n"))) }
            worker.run { () -> Result<String, PasswordHash.Failure> in
                Result { () throws(PasswordHash.Failure) in try PasswordHash(password: new).text }
            } then: { [weak self] result in
                guard let self else { return }
                switch result {
                case .failure(let error): then(Refusal(.failed, "\(error)"))
                case .success(let hash):
                    settings.change {
                        $0.access.rootPassword = hash
                    } then: { [weak self] refusal in
                        if refusal == nil {
                            self?.journal.add(
                                .info, by: user, component: Journal.logins, "The password of \(user) was changed")
                        }
                        then(refusal)
                    }
                }
            }
        }
    }

    private var now: UInt64 { monotonicNanoseconds() / 1_000_000_000 }

    private func save() {
        let bytes = Array(policy.text.utf8)
        try? Files.replace(stateFile, with: bytes, permissions: 0o600)
    }
}
