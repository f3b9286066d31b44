public import Addresses
import CMbedTLS

/// Who the server has to be: its certificate must say so.
public enum TLSServerName: Hashable, Sendable, CustomStringConvertible {
    /// A DNS name; the certificate's may have a wildcard as its first label.
    case name(String)
    /// The address itself; the certificate must carry it as `iPAddress` (RFC 5280, section 4.2.1.6).
    case v4(IPv4Address)
    case v6(IPv6Address)

    /// From a host as people write it: an address, or else a name.
    public init(_ host: String) {
        if let address = IPv4Address(host) {
            self = .v4(address)
        } else if let address = IPv6Address(host) {
            self = .v6(address)
        } else {
            // Neither certificates nor the server are told of a final dot (RFC 6066, section 3).
            self = .name(host.hasSuffix(".") ? String(host.dropLast()) : host)
        }
    }

    public var description: String {
        switch self {
        case .name(let name): name
        case .v4(let address): "\(address)"
        case .v6(let address): "\(address)"
        }
    }

    /// An address as certificates have it; nil for a name.
    private var addressBytes: [UInt8]? {
        switch self {
        case .name: nil
        case .v4(let address): address.bytes
        case .v6(let address):
            address.groups.flatMap { [UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0)] }
        }
    }

    /// Whether a certificate carries this address. mbedTLS 2.28 compares names only, and does so itself.
    func addressMatches(_ certificate: UnsafePointer<mbedtls_x509_crt>) -> Bool {
        guard let wanted = addressBytes else { return true }
        // A list that mbedTLS made when it parsed the certificate; it lives as long as that does.
        var next: UnsafePointer<mbedtls_x509_sequence>? = unsafe UnsafePointer(
            certificate.pointer(to: \.subject_alt_names))
        while let entry = unsafe next {
            let name = unsafe entry.pointee.buf
            // The tag's number says what kind of name it is; 7 is iPAddress.
            if unsafe name.tag & MBEDTLS_ASN1_TAG_VALUE_MASK == 7, let start = unsafe name.p,
                unsafe UnsafeBufferPointer(start: start, count: name.len).elementsEqual(wanted)
            {
                return true
            }
            unsafe next = UnsafePointer(entry.pointee.next)
        }
        return false
    }
}
