import Testing

@testable import Signatures

@Suite("SHA-256, Ed25519 and constant-time comparison")
struct SignaturesTests {
    @Test("SHA-256 gives the digests of FIPS 180-4's examples, in one piece and in many")
    func digests() {
        #expect(
            Hexadecimal.text(SHA256.digest(of: []))
                == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        let message = Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8)
        let digest = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        #expect(Hexadecimal.text(SHA256.digest(of: message)) == digest)
        var hash = SHA256()
        for byte in message { hash.update([byte]) }
        #expect(Hexadecimal.text(hash.digest()) == digest)
        // Asking for the digest does not use the hash up.
        #expect(Hexadecimal.text(hash.digest()) == digest)
    }

    @Test("Ed25519 gives the keys and signatures of RFC 8032's examples")
    func knownSignatures() throws {
        // Section 7.1, TEST 2: one byte, 0x72.
        let seed = try #require(
            Hexadecimal.bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
        let key = try #require(Ed25519.SecretKey(seed: seed))
        #expect(
            Hexadecimal.text(key.publicKey.bytes) == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
        #expect(
            Hexadecimal.text(key.signature(of: [0x72]))
                == "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                + "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
    }

    @Test("a signature holds for its message and key only")
    func forgeries() throws {
        let key = try #require(Ed25519.SecretKey(seed: [UInt8](repeating: 7, count: 32)))
        let other = try #require(Ed25519.SecretKey(seed: [UInt8](repeating: 8, count: 32)))
        let message = Array("a manifest".utf8)
        let signature = key.signature(of: message)
        #expect(key.publicKey.verifies(signature, of: message))
        #expect(!other.publicKey.verifies(signature, of: message))
        #expect(!key.publicKey.verifies(signature, of: message + [0]))
        #expect(!key.publicKey.verifies([], of: message))
        #expect(!key.publicKey.verifies(signature + [0], of: message))
        for bit in 0..<512 {
            var damaged = signature
            damaged[bit / 8] ^= 1 << (bit % 8)
            #expect(!key.publicKey.verifies(damaged, of: message))
        }
    }

    @Test("keys and seeds of the wrong length are refused")
    func lengths() {
        #expect(Ed25519.PublicKey([UInt8](repeating: 1, count: 31)) == nil)
        #expect(Ed25519.SecretKey(seed: [UInt8](repeating: 1, count: 33)) == nil)
    }

    @Test("a file of keys has one a line, with comments; one bad line makes all of it unusable")
    func keyFiles() throws {
        let first = String(repeating: "0a", count: 32)
        let second = String(repeating: "F1", count: 32)
        let keys = try #require(Ed25519.PublicKey.list("# release keys\n\n\(first)\n  \(second) # the next one\r\n"))
        #expect(keys.map(\.bytes) == [[UInt8](repeating: 10, count: 32), [UInt8](repeating: 0xf1, count: 32)])
        #expect(Ed25519.PublicKey.list("") == [])
        #expect(Ed25519.PublicKey.list("\(first)\nabc\n") == nil)
        #expect(Ed25519.PublicKey.list("\(first)00\n") == nil)
    }

    @Test("equal bytes are equal, of whatever length")
    func comparison() {
        #expect(equalInConstantTime([], []))
        #expect(equalInConstantTime([1, 2, 3], [1, 2, 3]))
        #expect(!equalInConstantTime([1, 2, 3], [1, 2, 4]))
        #expect(!equalInConstantTime([1, 2, 3], [1, 2]))
    }

    @Test("hexadecimal text is read back, and nothing else is")
    func hexadecimal() {
        let all = (0...255).map { UInt8($0) }
        #expect(Hexadecimal.bytes(Hexadecimal.text(all)) == all)
        #expect(Hexadecimal.bytes("0") == nil)
        #expect(Hexadecimal.bytes("0g") == nil)
        #expect(Hexadecimal.bytes("AbCd") == [0xab, 0xcd])
    }
}
