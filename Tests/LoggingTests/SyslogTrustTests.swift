import HostLink
import HostModel
import Linux
import LogService
import TLS
import TestCertificates
import TestFiles
import Testing

@testable import Logging

@Suite("Whom logs are sent to over TLS")
struct SyslogTrustTests {
    private static let fingerprint = "sha-256:" + repeatElement("0A", count: 32).joined(separator: ":")

    private static func certificate(_ target: String, _ fingerprint: String) -> LogServerCertificate {
        var certificate = LogServerCertificate()
        certificate.target = target
        certificate.fingerprint = fingerprint
        return certificate
    }

    @Test("a fingerprint counts for its target only, however that is written, and before everything else")
    func fingerprints() throws {
        var settings = LoggingSettings()
        settings.checksCertificates = false
        settings.certificates = [
            Self.certificate("ssl://a", Self.fingerprint), Self.certificate("tls://a:6514", Self.fingerprint),
        ]
        let known = try #require(CertificateFingerprint(Self.fingerprint))
        let target = try #require(SyslogTarget("tls://a"))
        #expect(try settings.trust(for: target) == .fingerprints([known, known]))
        #expect(try settings.trust(for: try #require(SyslogTarget("tls://b"))) == .unverified)
        #expect(try settings.trust(for: try #require(SyslogTarget("tcp://a:6514"))) == nil)
        settings.certificates[1].fingerprint = "AA"
        #expect(throws: LoggingSettings.Refusal(description: "\"AA\" is no fingerprint (sha-256:AA:BB:…)")) {
            _ = try settings.trust(for: target)
        }
    }

    @Test("without anything to know a server by, or with what cannot be read, there is no trust")
    func refusals() throws {
        let target = try #require(SyslogTarget("tls://a"))
        #expect(throws: LoggingSettings.Refusal.self) { _ = try LoggingSettings().trust(for: target) }
        var settings = LoggingSettings()
        settings.authorities = "hello"
        #expect(throws: LoggingSettings.Refusal.self) { _ = try settings.trust(for: target) }
    }

    @Test(
        "authorities come through the settings' text as they are",
        .enabled(
            if: certificatesUnavailable == nil, Comment(rawValue: certificatesUnavailable ?? "certificates can be made")
        ))
    func authorities() throws {
        try withTemporaryDirectory { directory in
            let pem = try TestAuthority("one", in: directory).pem() + TestAuthority("two", in: directory).pem()
            var settings = HostSettings()
            settings.logging.authorities = pem
            settings.logging.certificates = [Self.certificate("tls://b", Self.fingerprint)]
            settings.logging.checksCertificates = false
            let (read, problems) = SettingsText.decode(SettingsText.encode(settings), as: HostSettings.self)
            #expect(problems.isEmpty && read == settings)
            settings.logging.checksCertificates = true
            let target = try #require(SyslogTarget("tls://a"))
            #expect(
                try settings.logging.trust(for: target) == .authorities(try TLSAuthorities(pem: pem)))
        }
    }

    @Test("the agent says of a server that it may not send to what to set, once")
    func agent() throws {
        try withTemporaryDirectory { directory in
            let address = "\(directory)/log.sock"
            let loop = try EventLoop(name: "logd")
            let agent = try LogAgent(
                socket: try UnixDatagram.bind("\(directory)/log"), store: "\(directory)/logs", address: address,
                readsKernel: false, on: loop)
            var settings = LoggingSettings()
            settings.targets = ["tls://127.0.0.1", "tsl://127.0.0.1"]
            agent.configure(settings)
            agent.configure(settings)
            try loop.start()
            let lines = try ServiceClient(address).ask(ReadLog(name: "messages", count: 10)).lines.map(\.text)
            #expect(
                lines == [
                    "log server tls://127.0.0.1:6514 gets nothing: nothing says how to know its certificate: set "
                        + "logging.authorities, or its fingerprint in logging.certificates, or logging.checkCertificates "
                        + "to false",
                    "tsl://127.0.0.1 is no log server: it must be udp://HOST[:PORT], tcp://HOST[:PORT] or "
                        + "tls://HOST[:PORT]",
                ])
            loop.stop()
            withExtendedLifetime(agent) {}
        }
    }
}
