import Linux
import TestFiles

/// Why no certificates can be made here; nil if they can.
public let certificatesUnavailable: String? =
    fileExists(openssl) ? nil : "there is no \(openssl) to make certificates with"

private let openssl = "/usr/bin/openssl"

/// An authority for certificates, made by OpenSSL.
public struct TestAuthority {
    /// A certificate and its key, as paths of PEM files.
    public struct Identity: Sendable {
        public var certificate: String
        public var key: String

        public func pem() throws -> String { String(decoding: try readFile(certificate), as: UTF8.self) }

        /// The certificate as it goes over the wire.
        public func der() throws -> [UInt8] {
            try command(["x509", "-in", certificate, "-outform", "DER", "-out", certificate + ".der"])
            return try readFile(certificate + ".der")
        }
    }

    public struct CommandFailed: Error {
        public var arguments: [String]
        public var status: CInt
    }

    public let identity: Identity
    private let directory: String

    /// - Parameter directory: for its files.
    public init(_ name: String, in directory: String) throws {
        self.directory = directory
        identity = Identity(certificate: "\(directory)/\(name).pem", key: "\(directory)/\(name).key")
        try command(
            ["req", "-x509", "-subj", "/CN=\(name)", "-days", "30", "-out", identity.certificate]
                + Self.newKey("ec", identity.key))
    }

    /// The authorities' text that trusts this one.
    public func pem() throws -> String { try identity.pem() }

    /// A server's certificate.
    ///
    /// - Parameters:
    ///   - names: as OpenSSL writes them: `DNS:logs.example.org,IP:127.0.0.1`.
    ///   - days: from now on; negative for one that has expired.
    ///   - algorithm: `ec` (P-256) or `rsa:BITS`.
    public func issue(
        _ name: String, names: String, days: Int = 30, algorithm: String = "ec", more: String = ""
    ) throws -> Identity {
        let issued = Identity(certificate: "\(directory)/\(name).pem", key: "\(directory)/\(name).key")
        let request = "\(directory)/\(name).request"
        let extensions = "\(directory)/\(name).extensions"
        let file = try Descriptor(opening: extensions, [.writeOnly, .create, .truncate])
        file.writeAll("subjectAltName=\(names)\n\(more)\n")
        try command(["req", "-new", "-subj", "/CN=\(name)", "-out", request] + Self.newKey(algorithm, issued.key))
        try command(
            [
                "x509", "-req", "-in", request, "-CA", identity.certificate, "-CAkey", identity.key, "-CAcreateserial",
                "-days", "\(days)", "-extfile", extensions, "-out", issued.certificate,
            ])
        return issued
    }

    private static func newKey(_ algorithm: String, _ path: String) -> [String] {
        ["-newkey", algorithm, "-nodes", "-keyout", path]
            + (algorithm == "ec" ? ["-pkeyopt", "ec_paramgen_curve:P-256"] : [])
    }
}

private func command(_ arguments: [String]) throws {
    let status = try run(openssl, arguments)
    if status != 0 { throw TestAuthority.CommandFailed(arguments: arguments, status: status) }
}
