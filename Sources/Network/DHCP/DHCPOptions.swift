public import Addresses
import Bytes
import DNSMessages

/// The options of a DHCP message, without its kind (RFC 2132; RFC 3396 for those in several pieces).
public struct DHCPOptions: Equatable, Sendable {
    /// Numbers of options.
    public enum Code: UInt8, Sendable {
        case subnetMask = 1
        case routers = 3
        case nameServers = 6
        case hostName = 12
        case domainName = 15
        case mtu = 26
        case ntpServers = 42
        case requestedAddress = 50
        case leaseTime = 51
        case overload = 52
        case serverIdentifier = 54
        case parameterList = 55
        case message = 56
        case sizeMax = 57
        case renewalTime = 58
        case rebindingTime = 59
        case clientIdentifier = 61
        /// RFC 3397.
        case domainSearch = 119
        /// RFC 3442.
        case classlessRoutes = 121
    }

    private var values: [UInt8: [UInt8]] = [:]

    public init() {}

    public subscript(_ code: Code) -> [UInt8]? {
        get { values[code.rawValue] }
        set { values[code.rawValue] = newValue }
    }

    /// Takes options out of a field of a message; broken ones end it. Pieces of one option are put together.
    mutating func read(_ bytes: ArraySlice<UInt8>, kind: inout [UInt8]) {
        var rest = bytes
        while let code = rest.popFirst(), code != 255 {
            if code == 0 { continue }
            guard let length = rest.popFirst(), rest.count >= Int(length) else { return }
            let value = rest.prefix(Int(length))
            rest = rest.dropFirst(Int(length))
            if code == 53 {
                kind += value
            } else {
                values[code, default: []] += value
            }
        }
    }

    /// All options in the order of their numbers; those longer than 255 bytes in pieces.
    var bytes: [UInt8] {
        var writer = ByteWriter()
        for (code, value) in values.sorted(by: { $0.key < $1.key }) {
            var rest = value[...]
            repeat {
                let piece = rest.prefix(255)
                writer.append([code, UInt8(truncatingIfNeeded: piece.count)])
                writer.append(piece)
                rest = rest.dropFirst(piece.count)
            } while !rest.isEmpty
        }
        return writer.bytes
    }

    // MARK: Values. A value of another length than its kind has is as good as none.

    public func number(_ code: Code) -> UInt32? {
        guard let value = self[code], value.count == 4 else { return nil }
        return value.reduce(0) { $0 << 8 | UInt32($1) }
    }

    public func address(_ code: Code) -> IPv4Address? { number(code).map { IPv4Address(number: $0) } }

    public mutating func set(_ code: Code, _ number: UInt32) {
        self[code] = (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
    }

    public func short(_ code: Code) -> UInt16? {
        guard let value = self[code], value.count == 2 else { return nil }
        return UInt16(value[0]) << 8 | UInt16(value[1])
    }

    /// A list; incomplete last bytes are dropped.
    public func addresses(_ code: Code) -> [IPv4Address] {
        guard let value = self[code] else { return [] }
        return stride(from: 0, to: value.count & ~3, by: 4).map { start in
            IPv4Address(number: value[start..<start + 4].reduce(0) { $0 << 8 | UInt32($1) })
        }
    }

    /// Text that can be a name on a network; nil for anything else.
    public func name(_ code: Code) -> String? {
        guard let value = self[code] else { return nil }
        // Some servers count a null byte at the end.
        let text = String(decoding: value.prefix { $0 != 0 }, as: UTF8.self)
        return DomainName(text).map { "\($0)" }
    }

    /// Option 119: names as in DNS messages, pointers included (RFC 3397, section 2).
    public var searchDomains: [String] {
        guard let value = self[.domainSearch] else { return [] }
        var domains: [String] = []
        var offset = 0
        while offset < value.count, domains.count < 32 {
            guard let name = DomainName.read(value, at: &offset) else { break }
            domains.append("\(name)")
        }
        return domains
    }

    /// Option 121: destinations, each a prefix length and the bytes that it covers, then the router. A router of zero is no router:
    /// the network is on the link itself.
    public var classlessRoutes: [DHCPLease.Route]? {
        guard var rest = self[.classlessRoutes]?[...], !rest.isEmpty else { return nil }
        var routes: [DHCPLease.Route] = []
        while let prefix = rest.popFirst() {
            let count = (Int(prefix) + 7) / 8
            guard prefix <= 32, rest.count >= count + 4 else { return nil }
            let covered = rest.prefix(count).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            let number = count == 0 ? 0 : covered << UInt32(32 - 8 * count)
            rest = rest.dropFirst(count)
            let router = rest.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            rest = rest.dropFirst(4)
            routes.append(
                .init(
                    network: IPv4Address(number: number & IPv4Address.mask(prefix: Int(prefix)).number), prefix: prefix,
                    router: router == 0 ? nil : IPv4Address(number: router)))
        }
        return routes
    }
}
