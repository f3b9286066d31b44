public import Addresses
import Bytes

/// A DHCP message (RFC 2131, section 2; options as of RFC 2132), with what a client says and hears.
public struct DHCPMessage: Equatable, Sendable {
    /// Option 53 (RFC 2132, section 9.6).
    public enum Kind: UInt8, Sendable {
        case discover = 1
        case offer = 2
        case request = 3
        case decline = 4
        case acknowledgement = 5
        case refusal = 6
        case release = 7
        case inform = 8
    }

    public static let serverPort: UInt16 = 67
    public static let clientPort: UInt16 = 68
    /// A message with all fixed fields and the cookie.
    static let fixedSize = 240
    /// RFC 1542, section 2.1: shorter ones are lost on some ways.
    static let sizeMin = 300
    /// RFC 2131, section 3: first bytes of the options.
    static let cookie: UInt32 = 0x6382_5363

    public var kind: Kind
    /// Whether a server sent it.
    public var isReply: Bool
    /// Ties an answer to its question.
    public var transaction: UInt32
    /// Since the client began, in seconds.
    public var seconds: UInt16 = 0
    /// The answer has to be broadcast.
    public var wantsBroadcast = false
    /// The address the client has and can answer for, or zero.
    public var clientAddress = IPv4Address(number: 0)
    /// The address the server gives.
    public var yourAddress = IPv4Address(number: 0)
    public var macAddress: MACAddress
    public var options: DHCPOptions

    public init(_ kind: Kind, transaction: UInt32, macAddress: MACAddress, isReply: Bool = false) {
        self.kind = kind
        self.transaction = transaction
        self.macAddress = macAddress
        self.isReply = isReply
        options = DHCPOptions()
    }

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.append([isReply ? 2 : 1, 1, 6, 0])  // op; Ethernet; address length; hops
        writer.big(transaction)
        writer.big(seconds)
        writer.big(UInt16(wantsBroadcast ? 0x8000 : 0))
        writer.append(clientAddress.bytes)
        writer.append(yourAddress.bytes)
        writer.zeros(8)  // next server, relay agent
        writer.append(macAddress.bytes)
        writer.zeros(10 + 64 + 128)  // rest of the hardware address, server's name, boot file
        writer.big(Self.cookie)
        writer.append([53, 1, kind.rawValue])
        writer.append(options.bytes)
        writer.append([255])
        if writer.count < Self.sizeMin { writer.zeros(Self.sizeMin - writer.count) }
        return writer.bytes
    }

    /// Reads a message; nil if it is none, or not for Ethernet.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count >= Self.fixedSize, bytes[0] == 1 || bytes[0] == 2, bytes[1] == 1, bytes[2] == 6 else {
            return nil
        }
        func word(_ offset: Int) -> UInt32 { bytes[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) } }
        guard word(236) == Self.cookie, let macAddress = MACAddress(bytes[28..<34]) else { return nil }
        var options = DHCPOptions()
        var kinds: [UInt8] = []
        options.read(bytes[240...], kind: &kinds)
        // Option 52 (RFC 2132, section 9.3): the fields of the boot file (1) and the server's name (2) hold options, too.
        let overload = options[.overload]
        if overload?.count == 1, let where_ = overload?.first {
            if where_ & 1 != 0 { options.read(bytes[108..<236], kind: &kinds) }
            if where_ & 2 != 0 { options.read(bytes[44..<108], kind: &kinds) }
        }
        guard kinds.count == 1, let kind = Kind(rawValue: kinds[0]) else { return nil }
        self.kind = kind
        isReply = bytes[0] == 2
        transaction = word(4)
        seconds = UInt16(truncatingIfNeeded: word(8) >> 16)
        wantsBroadcast = word(8) & 0x8000 != 0
        clientAddress = IPv4Address(number: word(12))
        yourAddress = IPv4Address(number: word(16))
        self.macAddress = macAddress
        self.options = options
    }
}
