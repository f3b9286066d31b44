public import Addresses
import Bytes

/// What can be asked for.
public enum DNSRecordType: UInt16, Sendable {
    /// IPv4 addresses (RFC 1035).
    case a = 1
    /// Another name for the same (RFC 1035); never asked for.
    case cname = 5
    /// An address's name (RFC 1035).
    case ptr = 12
    /// IPv6 addresses (RFC 3596).
    case aaaa = 28
}

/// A question to a server.
public struct DNSQuestion: Equatable, Sendable {
    public var name: DomainName
    public var type: DNSRecordType

    public init(_ name: DomainName, _ type: DNSRecordType) {
        self.name = name
        self.type = type
    }

    /// The message that asks it, with recursion desired (RFC 1035, section 4.1).
    ///
    /// - Parameter identifier: one that cannot be guessed.
    public func message(identifier: UInt16) -> [UInt8] {
        var writer = ByteWriter()
        writer.big(identifier)
        writer.big(UInt16(0x0100))  // RD
        for count: UInt16 in [1, 0, 0, 0] { writer.big(count) }
        writer.append(name.bytes)
        writer.big(type.rawValue)
        writer.big(UInt16(1))  // class IN
        return writer.bytes
    }

    /// The question for the name of an address (RFC 1035, section 3.5).
    public static func name(of address: IPv4Address) -> DNSQuestion? {
        DomainName(labels: address.bytes.reversed().map { "\($0)" } + ["in-addr", "arpa"]).map { .init($0, .ptr) }
    }

    /// The question for the name of an address (RFC 3596, section 2.5).
    public static func name(of address: IPv6Address) -> DNSQuestion? {
        let digits = address.bytes.reversed().flatMap { [$0 & 15, $0 >> 4] }.map { String($0, radix: 16) }
        return DomainName(labels: digits + ["ip6", "arpa"]).map { .init($0, .ptr) }
    }
}

/// A server's answer to a question.
public struct DNSAnswer: Equatable, Sendable {
    public enum Code: UInt8, Sendable {
        case noError = 0
        case formatError = 1
        case serverFailure = 2
        case nameError = 3
        case notImplemented = 4
        case refused = 5
        case other = 255
    }

    /// What a record says.
    public enum Value: Hashable, Sendable {
        case ipv4(IPv4Address)
        case ipv6(IPv6Address)
        case name(DomainName)
    }

    public var code: Code
    /// There is more than fitted: ask again over TCP.
    public var isTruncated: Bool
    /// Of the asked type, for the asked name or what it is another name for.
    public var values: [Value] = []
    /// The name that the asked one is another name for, if the answer does not say more about it.
    public var canonicalName: DomainName?

    /// More records than any honest answer has.
    static let recordsMax = 256

    /// Reads an answer.
    ///
    /// - Returns: nil if it is none to this question: another identifier, another question, or broken.
    public init?(_ message: [UInt8], to question: DNSQuestion, identifier: UInt16) {
        func big(_ offset: Int) -> UInt16? {
            guard message.count - offset >= 2, offset >= 0 else { return nil }
            return UInt16(message[offset]) << 8 | UInt16(message[offset + 1])
        }
        guard let received = big(0), let flags = big(2), let questions = big(4), let answers = big(6),
            message.count >= 12
        else { return nil }
        // QR set, opcode QUERY, one question.
        guard received == identifier, flags & 0xf800 == 0x8000, questions == 1 else { return nil }
        code = Code(rawValue: UInt8(flags & 15)) ?? .other
        isTruncated = flags & 0x0200 != 0
        var offset = 12
        guard DomainName.read(message, at: &offset) == question.name, big(offset) == question.type.rawValue,
            big(offset + 2) == 1
        else { return nil }
        offset += 4

        var records: [(owner: DomainName, type: UInt16, value: Value)] = []
        for _ in 0..<min(Int(answers), Self.recordsMax) {
            let start = offset
            guard DomainName.skip(message, at: &offset), let type = big(offset), let recordClass = big(offset + 2),
                let length = big(offset + 8)
            else { break }
            let data = offset + 10
            let end = data + Int(length)
            guard end <= message.count else { break }
            offset = end
            var position = start
            guard recordClass == 1, let owner = DomainName.read(message, at: &position) else { continue }
            switch DNSRecordType(rawValue: type) {
            case .a where length == 4:
                let number = message[data..<end].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                records.append((owner, type, .ipv4(IPv4Address(number: number))))
            case .aaaa where length == 16:
                if let address = IPv6Address(bytes: message[data..<end]) {
                    records.append((owner, type, .ipv6(address)))
                }
            case .cname, .ptr:
                var position = data
                if let name = DomainName.read(message, at: &position), position == end {
                    records.append((owner, type, .name(name)))
                }
            default: break
            }
        }
        follow(records, question)
    }

    /// Goes from the asked name along its other names. Each record is used once, so that names in circles end.
    private mutating func follow(
        _ records: [(owner: DomainName, type: UInt16, value: Value)], _ question: DNSQuestion
    ) {
        var name = question.name
        var passed: Set<DomainName> = [name]
        while true {
            values = records.filter { $0.owner == name && $0.type == question.type.rawValue }.map(\.value)
            if !values.isEmpty { break }
            let alias = records.first { $0.owner == name && $0.type == DNSRecordType.cname.rawValue }
            guard case .name(let next) = alias?.value, passed.insert(next).inserted else { break }
            name = next
        }
        canonicalName = values.isEmpty && name != question.name ? name : nil
    }
}
