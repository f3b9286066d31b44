import CLinux
import Linux
import TestCertificates
import TestFiles
import Testing

/// Why there can be no TLS log server here; nil if there can.
let logServerUnavailable: String? =
    certificatesUnavailable
    ?? (fileExists(TLSLogServer.python) ? nil : "there is no \(TLSLogServer.python) to serve TLS with")

/// A log server by Python's `ssl` (OpenSSL): it writes what comes into a file, and how each connection ended.
final class TLSLogServer {
    static let python = "/usr/bin/python3"

    /// Listens on descriptor 3. Ends a connection's text with `[closed]` after close_notify, with `[cut]` without.
    private static let program = """
        import socket, ssl, sys
        certificate, key, output, newest = sys.argv[1:]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion[newest]
        context.set_ciphers('DEFAULT:@SECLEVEL=0')
        context.load_cert_chain(certificate, key)
        output = open(output, 'ab', buffering=0)
        listener = socket.socket(fileno=3)
        listener.setblocking(True)
        while True:
            connection, _ = listener.accept()
            try:
                connection = context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False)
            except (ssl.SSLError, OSError):
                output.write(b'[refused]')
                continue
            try:
                while data := connection.recv(65536):
                    output.write(data)
                output.write(b'[closed]')
            except (ssl.SSLError, OSError):
                output.write(b'[cut]')
        """

    private var process: CInt?
    private let output: String

    /// - Parameters:
    ///   - listener: a socket that listens.
    ///   - newest: the newest version that it takes, as Python calls it.
    init(
        _ identity: TestAuthority.Identity, on listener: borrowing Descriptor, output: String,
        newest: String = "TLSv1_3"
    ) throws {
        self.output = output
        process = try start(
            Self.python, ["-c", Self.program, identity.certificate, identity.key, output, newest],
            keeping: listener.raw)
    }

    deinit { stop() }

    /// Kills it; its connections end at once.
    func stop() {
        guard let process else { return }
        kill(process, SIGKILL)
        var status: CInt = 0
        while waitpid(process, &status, 0) < 0 {}
        self.process = nil
    }

    /// What came so far.
    var received: String { String(decoding: (try? readFile(output)) ?? [], as: UTF8.self) }
}
