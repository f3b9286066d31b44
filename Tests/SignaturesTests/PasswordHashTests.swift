import Testing

@testable import Signatures

@Suite("Stored passwords")
struct PasswordHashTests {
    private func quick(_ password: String) throws -> PasswordHash {
        try PasswordHash(password: password, memoryKibibytes: 64, passes: 1)
    }

    @Test("a password matches its own hash only")
    func matching() throws {
        let hash = try quick("corréct horse")
        #expect(hash.matches("corréct horse"))
        #expect(!hash.matches("corréct horse "))
        #expect(!hash.matches(""))
        let empty = try quick("")
        #expect(empty.matches(""))
        #expect(!empty.matches("x"))
    }

    @Test("the same password twice has two hashes")
    func salt() throws {
        #expect(try quick("x") != quick("x"))
    }

    @Test("a hash survives being stored; the usual cost is not outdated, another one is")
    func storing() throws {
        let hash = try PasswordHash(password: "secret")
        #expect(hash.text.hasPrefix("$argon2id$v=19$m=12288,t=3,p=1$"))
        #expect(!hash.isOutdated)
        let stored = try #require(PasswordHash(text: hash.text))
        #expect(stored.matches("secret"))
        #expect(try quick("secret").isOutdated)
    }

    @Test(
        "a text that is no hash of ours, or asks for the moon, is refused",
        arguments: [
            "", "secret", "$6$salt$hash", "$argon2id$v=19$m=12288,t=3,p=1$salt", "$argon2i$v=19$m=12288,t=3,p=1$a$b",
            "$argon2id$v=19$m=99999999,t=3,p=1$a$b", "$argon2id$v=19$m=12288,t=4294967295,p=1$a$b",
            "$argon2id$v=19$m=12288,t=3,p=64$a$b", "$argon2id$v=19$m=-1,t=3,p=1$a$b",
            "$argon2id$v=16$m=12288,t=3,p=1$a$b",
            "$argon2id$v=19$m=12288,t=3,p=1$a$" + String(repeating: "b", count: 128),
        ])
    func refused(text: String) {
        #expect(PasswordHash(text: text) == nil)
    }

    @Test("a hash whose salt or digest is damaged matches nothing")
    func damaged() throws {
        let hash = try quick("secret")
        let cut = try #require(PasswordHash(text: String(hash.text.dropLast(4))))
        #expect(!cut.matches("secret"))
        let odd = try #require(PasswordHash(text: "$argon2id$v=19$m=64,t=1,p=1$!!!$???"))
        #expect(!odd.matches("secret"))
    }

    @Test("passwords that cannot be are refused, and match nothing")
    func unusable() throws {
        let long = String(repeating: "x", count: PasswordHash.passwordMax + 1)
        #expect(throws: PasswordHash.Failure.unusablePassword) { try quick(long) }
        #expect(throws: PasswordHash.Failure.unusablePassword) { try quick("a\0b") }
        #expect(try !quick("a").matches(long))
        #expect(try !quick("a").matches("a\0b"))
    }
}
