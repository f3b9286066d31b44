import TLS
import TLSTestServer

/// What a server, or somebody in between, may send to a TLS client.
///
/// The first byte chooses what the client trusts and whether there is a server; the second how many bytes the client gets at a time.
/// Without a server the rest is what it sends; with one, the rest are changes to what that sends: where (two bytes, from the last
/// change) and the bits to turn over.
func fuzzTLSClient(_ bytes: [UInt8]) {
    guard bytes.count > 2 else { return }
    let trusts: [TLSTrust] = [TestKeys.authority, TestKeys.authority, TestKeys.fingerprint, .unverified]
    let trust = trusts[Int(bytes[0] & 3)]
    guard let client = try? TLSClient(server: TLSServerName("logs.example.org"), trust: trust, sequence: 1) else {
        return check(false, "a session begins")
    }
    let piece = bytes[1] == 0 ? 1 << 20 : Int(bytes[1])
    if bytes[0] & 4 == 0 {
        feed(client, bytes[2...], piece)
        if trust != .unverified { check(client.state != .open, "nobody is believed without the certificate's key") }
    } else {
        var changes = Changes(bytes[2...])
        talk(client, &changes, piece, isTrusted: trust != TestKeys.fingerprint)
    }
}

/// Speaks with a server whose bytes are changed on the way.
private func talk(_ client: TLSClient, _ changes: inout Changes, _ piece: Int, isTrusted: Bool) {
    guard let server = try? MemoryServer(pem: TestKeys.certificate, key: TestKeys.key, sequence: 2) else {
        return check(false, "a server begins")
    }
    let isChanged = changes.isAny
    var plaintext: [UInt8] = []
    var isAnswered = false
    // A handshake has two turns each; alerts and farewells need no more than as many again.
    for _ in 0..<8 {
        server.receive(client.takeOutput())
        if server.isOpen, !isAnswered {
            isAnswered = true
            _ = server.send(Array("hello".utf8))
            server.close()
        }
        plaintext += feed(client, changes.apply(server.takeOutput())[...], piece)
    }
    check(Array("hello".utf8).starts(with: plaintext), "nothing that was changed on the way is believed")
    if !isTrusted { check(plaintext.isEmpty, "a stranger is not believed") }
    if !isChanged, isTrusted { check(plaintext.count == 5 && client.state == .closed, "what nobody changed comes") }
}

/// Gives bytes to a client, piece by piece.
///
/// - Returns: what it took for the server's words.
@discardableResult
private func feed(_ client: TLSClient, _ bytes: ArraySlice<UInt8>, _ piece: Int) -> [UInt8] {
    var rest = bytes
    var plaintext: [UInt8] = []
    while !rest.isEmpty {
        let wasClosed = client.state == .closed
        do throws(TLSFailure) { try client.receive(Array(rest.prefix(piece))) } catch {
            check(client.state == .closed && !wasClosed, "a session fails once")
            check(!error.description.isEmpty, "a failure has words")
        }
        let words = client.takePlaintext()
        check(words.isEmpty || !wasClosed, "nothing comes after the end")
        plaintext += words
        rest = rest.dropFirst(piece)
    }
    return plaintext
}

/// Changes to a stream of bytes.
private struct Changes {
    private var list: [(place: Int, bits: UInt8)] = []
    private var position = 0

    init(_ bytes: ArraySlice<UInt8>) {
        var rest = bytes
        var place = 0
        while rest.count >= 3, let high = rest.popFirst(), let low = rest.popFirst(), let bits = rest.popFirst() {
            place += Int(high) << 8 | Int(low)
            list.append((place, bits))
        }
    }

    var isAny: Bool { list.contains { $0.bits != 0 } }

    mutating func apply(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for change in list where change.place >= position && change.place - position < bytes.count {
            bytes[change.place - position] ^= change.bits
        }
        position += bytes.count
        return bytes
    }
}

/// An authority and a server (logs.example.org) of its, made for this; valid from 2020 to 2120.
private enum TestKeys {
    static let authority: TLSTrust =
        if let authorities = try? TLSAuthorities(pem: authorityText) { .authorities(authorities) } else {
            fatalError("the authority can be read")
        }

    /// Not the server's.
    static let fingerprint = TLSTrust.fingerprints(
        [CertificateFingerprint("sha-256:" + repeatElement("00", count: 32).joined(separator: ":"))].compactMap { $0 })

    private static let authorityText = """
        -----BEGIN CERTIFICATE-----
        MIIBSTCB8aADAgECAgEBMAoGCCqGSM49BAMCMBQxEjAQBgNVBAMMCWF1dGhvcml0
        eTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowFDESMBAGA1UEAwwJ
        YXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8FFODEDxY2lsNScS
        XP2k124j12lvkLQna7blcQAuvqAS9n+QSwO5lM2HZdLRhAH/kp+7wMMtJl5Tdzks
        qmXcRKMyMDAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUwCrQmQsl+iq3Nz8A
        SJb0CdDfoeQwCgYIKoZIzj0EAwIDRwAwRAIgI0Vmzr1/AbF552cRv2EH9A4XJDRL
        sbBORMFE060uTE0CIGLvn2ttcXavy9+pNYBmNviTFyt4C2ZVgPYPK6gUP02l
        -----END CERTIFICATE-----
        """

    static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBfDCCASGgAwIBAgIBAjAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlhdXRob3Jp
        dHkwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBExDzANBgNVBAMM
        BnNlcnZlcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBEAjjOF7pCWuGKi0suI
        lo41Wq72+JSMQ3dEDrTaHRe2iiYQsx2B2Qn5qJgBS6dmtQac2jpePIg+iTuD2BGW
        Zr+jZTBjMCEGA1UdEQQaMBiCEGxvZ3MuZXhhbXBsZS5vcmeHBH8AAAEwHQYDVR0O
        BBYEFJFK4pdktqwYbgZaBk2RqXSlUQasMB8GA1UdIwQYMBaAFMAq0JkLJfoqtzc/
        AEiW9AnQ36HkMAoGCCqGSM49BAMCA0kAMEYCIQDhli87lYvtlm40bSeXG8u3yoHE
        Hi/l5UldLozSlYtsYQIhAPN6j36i2s5xcbwX9fxlFBlLSuHtAIEoLDHTqK+LCyVh
        -----END CERTIFICATE-----
        """

    static let key = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7i3CQg70OnzFO1nx
        mmNbCsjPI8D0JwRRKOYA1rLw3AqhRANCAAQRAI4zhe6QlrhiotLLiJaONVqu9viU
        jEN3RA602h0XtoomELMdgdkJ+aiYAUunZrUGnNo6XjyIPok7g9gRlma/
        -----END PRIVATE KEY-----
        """
}
