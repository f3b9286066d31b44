/// An IPv6 address (RFC 4291).
public struct IPv6Address: Hashable, Sendable, CustomStringConvertible {
    /// Eight groups of 16 bits, in the order they are written.
    public let groups: [UInt16]

    /// - Parameter groups: eight of them.
    public init?(groups: [UInt16]) {
        guard groups.count == 8 else { return nil }
        self.groups = groups
    }

    /// Reads text as of RFC 4291, section 2.2, without a zone; an IPv4 address may stand for the last two groups.
    public init?(_ text: some StringProtocol) {
        // The longest form: six groups and an IPv4 address.
        let text = Array(text.utf8)
        guard text.count <= 45 else { return nil }
        let colon = UInt8(ascii: ":")
        let gap = text.indices.first { $0 + 1 < text.count && text[$0] == colon && text[$0 + 1] == colon }
        guard let gap else {
            guard let groups = Self.parse(text[...], isLast: true) else { return nil }
            self.init(groups: groups)
            return
        }
        guard let left = Self.parse(text[..<gap], isLast: false),
            let right = Self.parse(text[(gap + 2)...], isLast: true), left.count + right.count < 8
        else { return nil }
        self.init(groups: left + [UInt16](repeating: 0, count: 8 - left.count - right.count) + right)
    }

    /// Reads groups between single colons; no text at all is no groups.
    private static func parse(_ text: ArraySlice<UInt8>, isLast: Bool) -> [UInt16]? {
        if text.isEmpty { return [] }
        let fields = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        var groups: [UInt16] = []
        for (index, field) in fields.enumerated() {
            let field = String(decoding: field, as: UTF8.self)
            if isLast, index == fields.count - 1, let tail = IPv4Address(field) {
                groups += [UInt16(truncatingIfNeeded: tail.number >> 16), UInt16(truncatingIfNeeded: tail.number)]
            } else {
                guard (1...4).contains(field.utf8.count), field.first != "+", field.first != "-",
                    let group = UInt16(field, radix: 16)
                else { return nil }
                groups.append(group)
            }
        }
        return groups
    }

    /// The canonical text (RFC 5952, section 4): lower case, the longest run of two or more zero groups as `::`.
    public var description: String {
        var best = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start > max(best.count, 1) { best = start..<end }
            start = max(end, start + 1)
        }
        let text = { (part: ArraySlice<UInt16>) in part.map { String($0, radix: 16) }.joined(separator: ":") }
        return best.isEmpty
            ? text(groups[...]) : text(groups[..<best.lowerBound]) + "::" + text(groups[best.upperBound...])
    }

    /// The sixteen bytes, first to last.
    public var bytes: [UInt8] { groups.flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] } }

    /// fe80::/10.
    public var isLinkLocal: Bool { groups[0] & 0xffc0 == 0xfe80 }
}

/// An address and how many of its bits are the network's: `fd00::5/64`.
public struct IPv6Network: Hashable, Sendable, CustomStringConvertible {
    public var address: IPv6Address
    /// 0 to 128.
    public var prefix: UInt8

    public init?(address: IPv6Address, prefix: UInt8) {
        guard prefix <= 128 else { return nil }
        self.address = address
        self.prefix = prefix
    }

    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv6Address(parts[0]),
            parts[1].utf8.allSatisfy({ (48...57).contains($0) }),
            let prefix = UInt8(parts[1])
        else { return nil }
        self.init(address: address, prefix: prefix)
    }

    public var description: String { "\(address)/\(prefix)" }
}

extension IPv6Address {
    /// - Returns: nil unless there are sixteen bytes.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        var groups: [UInt16] = []
        var high: UInt16?
        for byte in bytes {
            if let upper = high {
                groups.append(upper << 8 | UInt16(byte))
                high = nil
            } else {
                high = UInt16(byte)
            }
        }
        self.init(groups: groups)
    }
}
