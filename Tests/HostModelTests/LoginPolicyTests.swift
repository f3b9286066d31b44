import Testing

@testable import HostModel

@Suite("Login policy")
struct LoginPolicyTests {
    private func policy(failures: UInt32 = 3, seconds: UInt32 = 900) -> LoginPolicy {
        var settings = AccessSettings()
        settings.failuresMax = failures
        settings.lockSeconds = seconds
        return LoginPolicy(settings, protected: ["root"])
    }

    @Test("failures in a row lock an account for as long as settings say")
    func locks() {
        var policy = policy()
        #expect(policy.failed("root", now: 10) == false)
        #expect(policy.failed("root", now: 11) == false)
        #expect(policy.check("root", now: 12) == .allowed)
        #expect(policy.failed("root", now: 12) == true)
        #expect(policy.check("root", now: 13) == .locked(seconds: 899))
        #expect(policy.check("root", now: 911) == .locked(seconds: 1))
        #expect(policy.check("root", now: 912) == .allowed)
    }

    @Test("a failure while locked neither counts nor lengthens the lock; after it, counting begins anew")
    func duringLock() {
        var policy = policy()
        for now in 0..<3 { _ = policy.failed("root", now: UInt64(now)) }
        #expect(policy.failed("root", now: 500) == false)
        #expect(policy.check("root", now: 902) == .allowed)
        #expect(policy.failed("root", now: 902) == false)
        #expect(policy.failed("root", now: 903) == false)
        #expect(policy.failed("root", now: 904) == true)
    }

    @Test("a good login wipes out the failures before it")
    func success() {
        var policy = policy()
        _ = policy.failed("root", now: 1)
        _ = policy.failed("root", now: 2)
        policy.succeeded("root")
        #expect(policy.failed("root", now: 3) == false)
    }

    @Test("accounts that do not exist lock like those that do")
    func unknown() {
        var policy = policy()
        for now in 0..<3 { _ = policy.failed("nobody", now: UInt64(now)) }
        #expect(policy.check("nobody", now: 3) == .locked(seconds: 899))
        #expect(policy.check("root", now: 3) == .allowed)
    }

    @Test("zero never locks")
    func never() {
        var policy = policy(failures: 0)
        for now in 0..<100 { #expect(policy.failed("root", now: UInt64(now)) == false) }
        #expect(policy.check("root", now: 100) == .allowed)
    }

    @Test("guesses at many names do not push a real account's count out")
    func many() {
        var policy = policy()
        for now in 0..<3 { _ = policy.failed("root", now: UInt64(now)) }
        for number in 0..<10_000 { _ = policy.failed("name\(number)", now: 3) }
        #expect(policy.check("root", now: 4) == .locked(seconds: 898))
    }

    @Test("a lock outlives the agent")
    func persists() {
        var policy = policy()
        for now in 0..<3 { _ = policy.failed("root", now: UInt64(now)) }
        _ = policy.failed("stranger\n root 0 0 -", now: 3)
        var next = self.policy()
        next.restore(policy.text)
        #expect(next.check("root", now: 3) == .locked(seconds: 899))
        #expect(next.text == policy.text)
        var hostile = self.policy()
        hostile.restore("root\nroot x 1 -\nevil 9 9 99999999999\nroot 99999999999 1 1\n\u{0}")
        #expect(hostile == self.policy())
    }

    @Test("huge times and counts do not overflow")
    func extremes() {
        var policy = policy(failures: 1, seconds: .max)
        #expect(policy.failed("root", now: .max - 1) == true)
        #expect(policy.failed("root", now: .max) == true)
    }
}

@Suite("Password rule")
struct PasswordRuleTests {
    @Test("good passwords pass", arguments: ["xT7!pqz", "correct Horse 4 you", "pässWort9x", "a1b2C3d4"])
    func good(password: String) { #expect(PasswordRule.problems(password, user: "root").isEmpty) }

    @Test(
        "weak passwords are refused with a reason",
        arguments: [
            ("", "at least 7"), ("aB3!", "at least 7"), ("alllowercase", "must mix"), ("Password1", "must mix"),
            ("xRoot7!pqz", "account's name"), ("aB!aB!aB!", "repeats"), ("xT7!p\u{7}qz", "control character"),
        ])
    func weak(password: String, reason: String) {
        let problems = PasswordRule.problems(password, user: "root")
        #expect(problems.contains { $0.contains(reason) }, "\(problems)")
    }

    @Test("the old password is no new one, and a very long one is too long")
    func others() {
        #expect(PasswordRule.problems("xT7!pqz", user: "root", old: "xT7!pqz") == ["The password is the old one."])
        let long = (0..<300).map { "\(Character(UnicodeScalar(UInt8(33 + $0 % 90))))" }.joined()
        #expect(PasswordRule.problems(long, user: "root") == ["The password is longer than 255 bytes."])
    }
}
