/// A remote log server as the settings name it: `udp://HOST[:PORT]`, `tcp://HOST[:PORT]` or `tls://HOST[:PORT]`, an IPv6 address
/// in square brackets.
public struct SyslogTarget: Hashable, Sendable, CustomStringConvertible {
    public enum Transport: String, Sendable, CaseIterable {
        /// RFC 5426.
        case udp
        /// RFC 6587, section 3.4.1: octet counting.
        case tcp
        /// RFC 5425.
        case tls

        /// `ssl` is ESXi's word for TLS.
        init?(scheme: Substring) { self.init(rawValue: scheme == "ssl" ? "tls" : String(scheme)) }

        /// RFC 5426, section 3.3; by convention; RFC 5425, section 4.1.
        public var defaultPort: UInt16 {
            switch self {
            case .udp, .tcp: 514
            case .tls: 6514
            }
        }
    }

    public var transport: Transport
    /// A name or an address, without brackets.
    public var host: String
    public var port: UInt16

    /// - Returns: nil if the text does not have that form.
    public init?(_ text: String) {
        guard let colon = text.firstIndex(of: ":"), let transport = Transport(scheme: text[..<colon]),
            text[colon...].hasPrefix("://")
        else { return nil }
        self.transport = transport
        var rest = text[colon...].dropFirst(3)
        if rest.hasSuffix("/") { rest.removeLast() }
        if rest.first == "[" {
            guard let close = rest.firstIndex(of: "]") else { return nil }
            host = String(rest[..<close].dropFirst())
            rest = rest[close...].dropFirst()
        } else {
            host = String(rest.prefix { $0 != ":" })
            rest = rest.dropFirst(host.count)
        }
        guard !host.isEmpty, host.utf8.count <= 253, host.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != 47 }) else {
            return nil
        }
        if rest.isEmpty {
            port = transport.defaultPort
        } else {
            guard rest.first == ":", rest.dropFirst().utf8.allSatisfy({ (48...57).contains($0) }),
                let number = UInt16(rest.dropFirst()), number > 0
            else { return nil }
            port = number
        }
    }

    public var description: String {
        "\(transport.rawValue)://\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }
}
