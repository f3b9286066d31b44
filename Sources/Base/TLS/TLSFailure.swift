/// Why a TLS session did not come about or ended. Descriptions go on from "the server cannot be reached:".
public enum TLSFailure: Error, Hashable, Sendable, CustomStringConvertible {
    // What the server is.

    /// What came is no TLS at all.
    case notTLS
    /// It does not know TLS 1.2.
    case protocolVersion
    /// It broke the protocol, or somebody changed what it sent; mbedTLS's error number, negative.
    case protocolViolation(CInt)
    /// It ended the session with an alert (RFC 5246, section 7.2).
    case alert(UInt8)

    // What its certificate is.

    case certificateExpired
    case certificateNotYetValid
    /// It is another server's.
    case wrongName(TLSServerName)
    /// Nobody vouches for it whom we trust.
    case unknownAuthority
    /// A key too short or a hash too weak to be believed.
    case weakCertificate
    /// It is not meant for servers.
    case unsuitableCertificate
    case unreadableCertificate
    case wrongFingerprint(CertificateFingerprint)

    // What we are.

    case noAuthority
    case unreadableAuthorities
    /// The name cannot be one: too long, for example.
    case unusableName
    case noMemory
    case noRandomNumbers
    /// Something was to be sent before the session was there, or after its end.
    case notOpen

    public var description: String {
        switch self {
        case .notTLS: "it does not speak TLS"
        case .protocolVersion: "it does not speak TLS 1.2"
        case .protocolViolation(let number): "it broke the TLS protocol (mbedTLS -0x\(String(-Int(number), radix: 16)))"
        case .alert(let number): "it refused the TLS session: \(Self.alertText(number))"
        case .certificateExpired: "its certificate has expired, by this host's clock"
        case .certificateNotYetValid: "its certificate is not valid yet, by this host's clock"
        case .wrongName(let name): "its certificate is not for \(name)"
        case .unknownAuthority: "no authority that this host trusts vouches for its certificate"
        case .weakCertificate: "its certificate has a key or a signature that is too weak"
        case .unsuitableCertificate: "its certificate is not meant for a server"
        case .unreadableCertificate: "its certificate cannot be read"
        case .wrongFingerprint(let found): "its certificate has another fingerprint: \(found)"
        case .noAuthority: "there is no certificate (-----BEGIN CERTIFICATE-----) in the authorities' text"
        case .unreadableAuthorities: "a certificate in the authorities' text cannot be read"
        case .unusableName: "its name cannot be one of a server"
        case .noMemory: "there is not enough memory for a TLS session"
        case .noRandomNumbers: "the kernel gives no random numbers"
        case .notOpen: "the TLS session is not open"
        }
    }

    /// RFC 5246, section 7.2; RFC 8446, section 6, for those that came later.
    private static func alertText(_ number: UInt8) -> String {
        switch number {
        case 0: "it closed the session"
        case 10: "unexpected message"
        case 20: "a damaged record"
        case 40: "it shares no cipher with this host, or does not speak TLS 1.2"
        case 42, 43, 44, 45, 46: "it does not take this host's certificate"
        case 47: "illegal parameter"
        case 48: "it does not know this host's authority"
        case 49: "access denied"
        case 50: "a message that it cannot decode"
        case 51: "decryption failed"
        case 70: "it does not speak TLS 1.2"
        case 71: "insufficient security"
        case 80: "an internal error of the server"
        case 90: "cancelled"
        case 109: "missing extension"
        case 112: "it does not know the name it was called by"
        case 116: "it wants a certificate from this host"
        default: "alert \(number)"
        }
    }
}
