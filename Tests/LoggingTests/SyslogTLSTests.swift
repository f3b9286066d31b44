import Addresses
import CLinux
import Linux
import TLS
import TestCertificates
import TestFiles
import TestNetwork
import Testing

@testable import Logging

/// Why these tests cannot run here.
private let unavailable = networkUnavailable ?? logServerUnavailable

@Suite("Sending logs over TLS", .enabled(if: unavailable == nil, Comment(rawValue: unavailable ?? "a server can run")))
struct SyslogTLSTests {
    /// A sender in a network of its own, with its loop, and what it reported.
    private final class Rig {
        let loop: EventLoop
        let listener: Descriptor
        let directory: String
        let authority: TestAuthority
        var reports: [String] = []

        init(_ directory: String) throws {
            try SyslogSenderTests.setUpLoopback()
            self.directory = directory
            authority = try TestAuthority("authority", in: directory)
            loop = try EventLoop(name: "test")
            listener = Descriptor(adopting: socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0))
            try #require(wafer_inet_bind(listener.raw, 0x7f00_0001, 6514) == 0)
            try #require(listen(listener.raw, 16) == 0)
            try listener.setNonBlocking()
        }

        func trust() throws -> TLSTrust { .authorities(try TLSAuthorities(pem: try authority.pem())) }

        func server(_ identity: TestAuthority.Identity, newest: String = "TLSv1_3") throws -> TLSLogServer {
            try TLSLogServer(identity, on: listener, output: "\(directory)/received", newest: newest)
        }

        /// A sender to a host that is found at 127.0.0.1 whatever it is called.
        func sender(_ text: String, _ trust: TLSTrust, handshakeMax: UInt64 = SyslogSender.handshakeMax) throws
            -> SyslogSender
        {
            let target = try #require(SyslogTarget(text))
            return try SyslogSender(
                target, trust: trust, handshakeMax: handshakeMax, on: loop,
                resolve: { InternetPeer("127.0.0.1", port: $1) }
            ) { [weak self] in self?.reports.append("\($0 ? "+" : "-")\($1)") }
        }

        func run(until condition: @escaping () -> Bool) throws {
            try SyslogSenderTests.run(loop, until: condition)
        }
    }

    /// The server's end of a connection.
    private final class Peer {
        let connection: Descriptor

        init?(accepting listener: borrowing Descriptor) {
            let raw = wafer_accept4(listener.raw)
            guard raw >= 0 else { return nil }
            connection = Descriptor(adopting: raw)
        }
    }

    private static func withRig(_ body: @escaping @Sendable (Rig) throws -> Void) throws {
        try inOwnNetwork { try withTemporaryDirectory { try body(try Rig($0)) } }
    }

    @Test("messages come whole and in order, large ones, too, and the session is closed in order")
    func messages() throws {
        try Self.withRig { rig in
            let server = try rig.server(try rig.authority.issue("server", names: "DNS:logs.example.org"))
            let sender = try rig.sender("ssl://logs.example.org", try rig.trust())
            var expected = ""
            for number in 0..<200 {
                let message = "message \(number) " + String(repeating: "x", count: number == 100 ? 100_000 : number)
                expected += "\(message.utf8.count) \(message)"
                sender.send(Array(message.utf8))
            }
            try rig.run { server.received.utf8.count >= expected.utf8.count }
            #expect(server.received == expected)
            sender.close()
            try rig.run { server.received.hasSuffix("[closed]") }
            #expect(rig.reports.isEmpty)
        }
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
        var names = "DNS:logs.example.org"
        var days = 30
        var more = ""
        var newest = "TLSv1_3"
        var algorithm = "ec"
        var reason: String
        var testDescription: String { reason }
    }

    @Test(
        "a server that is not who it should be gets no message, and that is said once",
        arguments: [
            Refusal(names: "DNS:other.example.org", reason: "its certificate is not for logs.example.org"),
            Refusal(days: -1, reason: "its certificate has expired, by this host's clock"),
            Refusal(more: "extendedKeyUsage=clientAuth", reason: "its certificate is not meant for a server"),
            Refusal(
                newest: "TLSv1_1",
                reason: "it refused the TLS session: it shares no cipher with this host, or does not speak TLS 1.2"),
            Refusal(
                algorithm: "rsa:1024", reason: "its certificate has a key or a signature that is too weak"),
        ])
    func refusals(test: Refusal) throws {
        try Self.withRig { rig in
            let server = try rig.server(
                try rig.authority.issue(
                    "server", names: test.names, days: test.days, algorithm: test.algorithm, more: test.more),
                newest: test.newest)
            let sender = try rig.sender("tls://logs.example.org", try rig.trust())
            sender.send(Array("secret".utf8))
            // It tries again after a second: wait for the second time.
            try rig.run { server.received == "[refused][refused]" }
            #expect(
                rig.reports == [
                    "-the log server tls://logs.example.org:6514 cannot be reached: \(test.reason)"
                ])
            sender.close()
        }
    }

    @Test("an unknown server gets what waited once its authority or its fingerprint is known")
    func trustComes() throws {
        try Self.withRig { rig in
            let identity = try rig.authority.issue("server", names: "IP:127.0.0.1")
            let server = try rig.server(identity)
            let other = try TestAuthority("other", in: rig.directory)
            let sender = try rig.sender("tls://127.0.0.1", .authorities(try TLSAuthorities(pem: try other.pem())))
            sender.send(Array("one".utf8))
            try rig.run { rig.reports.count == 1 }
            #expect(
                rig.reports.first?.hasSuffix("no authority that this host trusts vouches for its certificate") == true)
            sender.change(trust: try rig.trust())
            try rig.run { server.received.hasSuffix("3 one") }
            #expect(rig.reports.count == 2 && rig.reports.last?.hasPrefix("+") == true)

            // Another server's fingerprint; the refusal names the right one.
            let zeros = repeatElement("00", count: 32).joined(separator: ":")
            let wrong = try #require(CertificateFingerprint("sha-256:\(zeros)"))
            sender.change(trust: .fingerprints([wrong]))
            sender.send(Array("two".utf8))
            try rig.run { rig.reports.count == 3 }
            let text = try #require(rig.reports.last?.split(separator: " ").last)
            let found = try #require(CertificateFingerprint(String(text)))
            #expect(!server.received.contains("two"))
            sender.change(trust: .fingerprints([found]))
            try rig.run { server.received.hasSuffix("3 two") }
            sender.close()
        }
    }

    @Test("a server that hangs up in the middle of the handshake is away, and gets what waited when it is back")
    func hangsUp() throws {
        try Self.withRig { rig in
            let sender = try rig.sender("tls://logs.example.org", try rig.trust())
            sender.send(Array("one".utf8))
            var peer: Peer?
            var hello: [UInt8] = []
            try rig.run {
                if peer == nil { peer = Peer(accepting: rig.listener) }
                // With bytes unread, closing would reset the connection.
                hello += peer?.connection.readAvailable() ?? []
                return !hello.isEmpty
            }
            // The beginning of a record that never ends.
            peer?.connection.writeAll("\u{16}\u{3}\u{3}\u{0}")
            peer = nil
            try rig.run { !rig.reports.isEmpty }
            #expect(
                rig.reports == [
                    "-the log server tls://logs.example.org:6514 cannot be reached: "
                        + "it closed the connection during the TLS handshake"
                ])
            let server = try rig.server(try rig.authority.issue("server", names: "DNS:logs.example.org"))
            try rig.run { server.received == "3 one" }
            sender.close()
        }
    }

    @Test("a server that speaks no TLS, hangs up or says nothing is away, and gets what waited when it is back")
    func comesBack() throws {
        try Self.withRig { rig in
            let sender = try rig.sender("tls://logs.example.org", try rig.trust(), handshakeMax: 200_000_000)
            sender.send(Array("one".utf8))
            /// Takes the next connection and waits until the client has sent its first message.
            func accept() throws -> Peer {
                var peer: Peer?
                var hello: [UInt8] = []
                try rig.run {
                    if peer == nil { peer = Peer(accepting: rig.listener) }
                    hello += peer?.connection.readAvailable() ?? []
                    return hello.first == 22
                }
                return try #require(peer)
            }
            func answer(_ text: String) throws {
                let peer = try accept()
                peer.connection.writeAll(text)
                try rig.run { rig.reports.count == 1 }
            }
            try answer("220 logs.example.org ESMTP\r\n")
            #expect(rig.reports.last?.hasSuffix("cannot be reached: it does not speak TLS") == true)
            // In the middle of a handshake: the first bytes of a record, and then nothing more.
            try answer("\u{16}\u{3}\u{3}")
            // Says nothing at all: given up after a moment.
            let silent = try accept()
            _ = try accept()
            withExtendedLifetime(silent) {}
            #expect(rig.reports.count == 1)

            let identity = try rig.authority.issue("server", names: "DNS:logs.example.org")
            let first = try rig.server(identity)
            try rig.run { first.received.hasSuffix("3 one") }
            #expect(rig.reports.count == 2)
            // Killed and started again.
            first.stop()
            try rig.run { rig.reports.count == 3 }
            sender.send(Array("two".utf8))
            let second = try rig.server(identity)
            try rig.run { second.received.hasSuffix("3 two") }
            #expect(
                rig.reports.last
                    == "+the log server tls://logs.example.org:6514 takes messages again")
            sender.close()
        }
    }
}
