import CLinux

/// A message from the kernel (linux/netlink.h): its header's fields and what follows.
struct NetlinkMessage {
    var type: UInt16
    var flags: UInt16
    var sequence: UInt32
    var payload: [UInt8]

    /// The messages in a datagram; what does not fit the form ends the list.
    static func split(_ bytes: [UInt8]) -> [NetlinkMessage] {
        var messages: [NetlinkMessage] = []
        var rest = bytes[...]
        while rest.count >= 16 {
            let length = Int(littleEndian(rest.prefix(4)))
            guard length >= 16, length <= rest.count else { break }
            let header = rest.prefix(16)
            messages.append(
                NetlinkMessage(
                    type: UInt16(truncatingIfNeeded: littleEndian(header.dropFirst(4).prefix(2))),
                    flags: UInt16(truncatingIfNeeded: littleEndian(header.dropFirst(6).prefix(2))),
                    sequence: UInt32(truncatingIfNeeded: littleEndian(header.dropFirst(8).prefix(4))),
                    payload: Array(rest.prefix(length).dropFirst(16))))
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return messages
    }

    /// A 32-bit word of the payload; nil beyond its end.
    func word(at offset: Int) -> UInt32? {
        guard payload.count - offset >= 4 else { return nil }
        return UInt32(truncatingIfNeeded: littleEndian(payload[offset..<offset + 4]))
    }

    /// The attributes behind a fixed part.
    func attributes(after fixed: Int) -> NetlinkAttributes { NetlinkAttributes(payload.dropFirst(fixed)) }
}

/// Attributes of a message or inside an attribute: `struct nlattr`, each padded to four bytes.
struct NetlinkAttributes {
    private(set) var all: [(type: Int, value: ArraySlice<UInt8>)] = []

    init(_ bytes: ArraySlice<UInt8>) {
        var rest = bytes
        while rest.count >= 4 {
            let length = Int(littleEndian(rest.prefix(2)))
            guard length >= 4, length <= rest.count else { break }
            // The two upper bits are NLA_F_NESTED and NLA_F_NET_BYTEORDER.
            let type = Int(littleEndian(rest.dropFirst(2).prefix(2))) & 0x3fff
            all.append((type, rest.prefix(length).dropFirst(4)))
            rest = rest.dropFirst((length + 3) & ~3)
        }
    }

    /// The first attribute of a type.
    subscript(type: Int) -> ArraySlice<UInt8>? { all.first { $0.type == type }?.value }

    /// An integer in host order; nil if it is not there or wider than 64 bits.
    func number(_ type: Int) -> UInt64? {
        guard let value = self[type], (1...8).contains(value.count) else { return nil }
        return littleEndian(value)
    }

    func word(_ type: Int) -> UInt32? { number(type).map { UInt32(truncatingIfNeeded: $0) } }

    /// Text up to its null byte.
    func text(_ type: Int) -> String? {
        self[type].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    func nested(_ type: Int) -> NetlinkAttributes? { self[type].map { NetlinkAttributes($0) } }
}

/// At most eight bytes as a number, the first one least significant, as our machines have it.
func littleEndian(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
}
