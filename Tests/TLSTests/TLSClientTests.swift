import CMbedTLS
import Linux
import Signatures
import TLSTestServer
import TestCertificates
import TestFiles
import Testing

@testable import TLS

@Suite(
    "TLS client",
    .enabled(
        if: certificatesUnavailable == nil, Comment(rawValue: certificatesUnavailable ?? "certificates can be made")))
struct TLSClientTests {
    /// Carries bytes between the two until neither has more to say.
    ///
    /// - Parameter piece: how many bytes the client gets at a time.
    private static func talk(_ client: TLSClient, _ server: MemoryServer, piece: Int = 1 << 20) throws(TLSFailure) {
        while true {
            let up = client.takeOutput()
            server.receive(up)
            var down = server.takeOutput()[...]
            if up.isEmpty, down.isEmpty { return }
            while !down.isEmpty {
                let failure: TLSFailure?
                do throws(TLSFailure) {
                    try client.receive(Array(down.prefix(piece)))
                    failure = nil
                } catch { failure = error }
                down = down.dropFirst(piece)
                if let failure {
                    // The alert still goes to the server.
                    server.receive(client.takeOutput())
                    throw failure
                }
            }
        }
    }

    /// Runs `body` with an authority and a client that trusts it and calls the server by a name.
    private static func with(
        _ body: (_ authority: TestAuthority, _ client: (String) throws -> TLSClient) throws -> Void
    ) throws {
        try withTemporaryDirectory { directory in
            let authority = try TestAuthority("authority", in: directory)
            let trust = TLSTrust.authorities(try TLSAuthorities(pem: try authority.pem()))
            try body(authority) { try TLSClient(server: TLSServerName($0), trust: trust) }
        }
    }

    @Test(
        "a session carries bytes both ways and is closed in order, however the bytes are cut",
        arguments: [1, 7, 1 << 20])
    func session(piece: Int) throws {
        try Self.with { authority, client in
            let server = try memoryServer(try authority.issue("server", names: "DNS:logs.example.org"))
            let client = try client("logs.example.org")
            #expect(throws: TLSFailure.notOpen) { try client.send([1]) }
            try Self.talk(client, server, piece: piece)
            #expect(client.state == .open && server.isOpen)
            try client.send(Array("up".utf8))
            #expect(server.send(Array("down".utf8)))
            try Self.talk(client, server, piece: piece)
            #expect(server.plaintext == Array("up".utf8))
            #expect(client.takePlaintext() == Array("down".utf8))
            #expect(client.takePlaintext().isEmpty)
            client.close()
            try Self.talk(client, server, piece: piece)
            #expect(server.failure == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
            #expect(client.state == .closed)
        }
    }

    @Test("more than a record goes through, to a server with an RSA key, too")
    func large() throws {
        try Self.with { authority, client in
            let server = try memoryServer(
                try authority.issue("server", names: "DNS:logs.example.org", algorithm: "rsa:2048"))
            let client = try client("logs.example.org")
            try Self.talk(client, server)
            let bytes = (0..<100_000).map { UInt8($0 % 251) }
            try client.send(bytes)
            #expect(server.send(bytes))
            try Self.talk(client, server)
            #expect(server.plaintext == bytes)
            #expect(client.takePlaintext() == bytes)
            server.close()
            try Self.talk(client, server)
            #expect(client.state == .closed)
        }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var called: String
        var names: String
        var days = 30
        var failure: TLSFailure?
        var testDescription: String { "\(called) with \(names), \(days) days" }
    }

    @Test(
        "a server is believed only if its certificate is valid and names it",
        arguments: [
            Case(called: "a.example.org", names: "DNS:*.example.org"),
            Case(called: "b.example.org.", names: "DNS:a.example.org,DNS:B.example.org"),
            Case(called: "10.0.0.1", names: "DNS:x,IP:10.0.0.2,IP:10.0.0.1"),
            Case(called: "fd00::1", names: "IP:fd00::1"),
            Case(called: "b.example.org", names: "DNS:a.example.org", failure: .wrongName(.name("b.example.org"))),
            Case(called: "a.b.example.org", names: "DNS:*.example.org", failure: .wrongName(.name("a.b.example.org"))),
            // An address is no name, and the other way round.
            Case(called: "10.0.0.1", names: "DNS:10.0.0.1", failure: .wrongName(TLSServerName("10.0.0.1"))),
            Case(called: "10.0.0.1", names: "IP:10.0.0.2", failure: .wrongName(TLSServerName("10.0.0.1"))),
            Case(called: "a", names: "DNS:a", days: -1, failure: .certificateExpired),
        ])
    func certificates(test: Case) throws {
        try Self.with { authority, client in
            let server = try memoryServer(
                try authority.issue("server", names: test.names, days: test.days))
            let client = try client(test.called)
            var failure: TLSFailure?
            do throws(TLSFailure) { try Self.talk(client, server) } catch { failure = error }
            #expect(failure == test.failure)
            #expect(client.state == (failure == nil ? .open : .closed))
            // It is told why.
            if failure != nil { #expect(server.failure == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) }
        }
    }

    @Test("a certificate that nobody trusted vouches for is refused, and so is all that comes after")
    func unknownAuthority() throws {
        try Self.with { authority, client in
            try withTemporaryDirectory { directory in
                let other = try TestAuthority("authority", in: directory)
                let server = try memoryServer(try other.issue("server", names: "DNS:a"))
                let client = try client("a")
                #expect(throws: TLSFailure.unknownAuthority) { try Self.talk(client, server) }
                try client.receive([1, 2, 3])
                #expect(client.takePlaintext().isEmpty && client.takeOutput().isEmpty)
                #expect(throws: TLSFailure.notOpen) { try client.send([1]) }
            }
        }
    }

    @Test("a certificate that is known by its fingerprint is good whatever stands in it, any other is not")
    func fingerprints() throws {
        try Self.with { authority, _ in
            let identity = try authority.issue("server", names: "DNS:a", days: -1)
            let pairs = SHA256.digest(of: try identity.der()).map { Hexadecimal.text([$0]) }
            let fingerprint = try #require(CertificateFingerprint("SHA-256:" + pairs.joined(separator: ":")))
            let other = try #require(
                CertificateFingerprint("sha-256:" + repeatElement("0f", count: 32).joined(separator: ":")))
            let client = try TLSClient(server: .name("b"), trust: .fingerprints([other, fingerprint]))
            try Self.talk(client, try memoryServer(identity))
            #expect(client.state == .open)
            let server = try memoryServer(identity)
            #expect(throws: TLSFailure.wrongFingerprint(fingerprint)) {
                try Self.talk(try TLSClient(server: .name("a"), trust: .fingerprints([other])), server)
            }
            #expect(server.plaintext.isEmpty)
            #expect(server.failure == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
            let unverified = try TLSClient(server: .name("b"), trust: .unverified)
            try Self.talk(unverified, try memoryServer(identity))
            #expect(unverified.state == .open)
        }
    }

    @Test("a byte that was changed on the way ends the session")
    func tampering() throws {
        try Self.with { authority, client in
            let server = try memoryServer(try authority.issue("server", names: "DNS:a"))
            let client = try client("a")
            try Self.talk(client, server)
            #expect(server.send(Array("hello".utf8)))
            var record = server.takeOutput()
            record[record.count - 1] ^= 1
            #expect(throws: TLSFailure.protocolViolation(MBEDTLS_ERR_SSL_INVALID_MAC)) { try client.receive(record) }
            #expect(client.state == .closed && client.takePlaintext().isEmpty)
        }
    }
}

/// A server with this certificate.
private func memoryServer(_ identity: TestAuthority.Identity) throws -> MemoryServer {
    let key = String(decoding: try readFile(identity.key), as: UTF8.self)
    return try MemoryServer(pem: try identity.pem(), key: key)
}

@Suite("TLS without a server")
struct TLSInputTests {
    private static func client() throws -> TLSClient { try TLSClient(server: .name("a"), trust: .unverified) }

    @Test(
        "a server that speaks something else is told apart",
        arguments: ["220 logs ESMTP\r\n", "HTTP/1.1 400 Bad Request\r\n"])
    func other(text: String) throws {
        let client = try Self.client()
        #expect(throws: TLSFailure.notTLS) { try client.receive(Array(text.utf8)) }
        #expect(client.state == .closed)
    }

    @Test(
        "a refusal is said in words",
        arguments: [(40, TLSFailure.alert(40)), (70, .protocolVersion)] as [(UInt8, TLSFailure)])
    func alert(number: UInt8, failure: TLSFailure) throws {
        let client = try Self.client()
        // Record type alert, TLS 1.2, two bytes: fatal, and why.
        try client.receive([21, 3, 3, 0])
        #expect(throws: failure) { try client.receive([2, 2, number]) }
        #expect(!failure.description.contains("\(number)"))
    }

    @Test("the first message asks for TLS 1.2 and the server's name, but an address is no name")
    func hello() throws {
        let named = try TLSClient(server: TLSServerName("logs.example.org"), trust: .unverified).takeOutput()
        // Handshake record; ClientHello, version 3.3 (RFC 5246, section 7.4.1.2).
        #expect(named.first == 22 && named[5] == 1 && named[9...10] == [3, 3])
        #expect(String(decoding: named, as: UTF8.self).contains("logs.example.org"))
        let address = try TLSClient(server: TLSServerName("10.0.0.1"), trust: .unverified).takeOutput()
        #expect(!String(decoding: address, as: UTF8.self).contains("10.0.0.1"))
        #expect(throws: TLSFailure.unusableName) {
            _ = try TLSClient(server: .name(String(repeating: "a", count: 256)), trust: .unverified)
        }
    }

    @Test("a server that answers with what came before TLS 1.2 is refused")
    func oldVersion() throws {
        let client = try Self.client()
        // ServerHello: version 3.2, 32 random bytes, no session, ECDHE-ECDSA with AES-128-GCM, no compression.
        let hello = [3, 2] + [UInt8](repeating: 7, count: 32) + [0, 0xc0, 0x2b, 0]
        #expect(throws: TLSFailure.protocolVersion) { try client.receive([22, 3, 2, 0, 42, 2, 0, 0, 38] + hello) }
    }

    @Test("two sessions begin with different random numbers")
    func random() throws {
        // The time comes first (4 bytes), then 28 random ones.
        #expect(try Self.client().takeOutput()[15..<43] != Self.client().takeOutput()[15..<43])
    }

    @Test(
        "authorities that cannot be read are named as such",
        arguments: [
            ("", .noAuthority), ("hello", .noAuthority),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", .unreadableAuthorities),
            ("-----BEGIN CERTIFICATE-----\nMIIB", .unreadableAuthorities),
        ] as [(String, TLSFailure)])
    func authorities(text: String, failure: TLSFailure) {
        #expect(throws: failure) { _ = try TLSAuthorities(pem: text) }
    }

    @Test("a fingerprint is written as RFC 5425 says")
    func fingerprint() {
        let text =
            "sha-256:" + (0..<32).map { $0 < 16 ? "0\(String($0, radix: 16))" : "A\($0 % 10)" }.joined(separator: ":")
        #expect(CertificateFingerprint(text)?.description == "sha-256:" + text.dropFirst(8).uppercased())
        for wrong in [
            "", "sha-256:", String(text.dropLast()), text + "0", "sha-1:" + text.dropFirst(6), text + ":00",
            text.replacing("0a", with: "+a"), text.replacing(":0a", with: "00a"), text.replacing("0a", with: "é"),
        ] { #expect(CertificateFingerprint(wrong) == nil, "\(wrong)") }
    }
}
