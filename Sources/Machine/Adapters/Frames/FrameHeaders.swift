/// What the first bytes of an Ethernet frame say about the rest: which protocols, and where their headers begin.
///
/// Reads a private copy, so that what was looked at cannot change. VLAN tags (up to two) are read over.
@safe struct FrameHeaders: BitwiseCopyable {
    enum Network: BitwiseCopyable { case other, ipv4, ipv6 }
    enum Transport: BitwiseCopyable { case other, tcp, udp }

    private(set) var network = Network.other
    /// `other` for all fragments but whole packets, too.
    private(set) var transport = Transport.other
    /// Where the network protocol's header begins.
    private(set) var networkOffset = 14
    /// Where the transport protocol's header begins; zero if there is none.
    private(set) var transportOffset = 0
    private(set) var isFragment = false
    /// Whether the IPv4 header adds up.
    private(set) var hasGoodNetworkChecksum = false

    private enum EtherType {
        static let ipv4: UInt16 = 0x0800
        static let ipv6: UInt16 = 0x86dd
        static let vlan: UInt16 = 0x8100
        static let serviceVLAN: UInt16 = 0x88a8
    }

    private enum ProtocolNumber {
        static let tcp: UInt8 = 6
        static let udp: UInt8 = 17
        static let fragment: UInt8 = 44
        /// IPv6 extension headers that give their length in units of 8 bytes.
        static func isExtension(_ number: UInt8) -> Bool { number == 0 || number == 43 || number == 60 }
    }

    /// - Parameter head: the frame's first bytes, as many as there are at hand; what lies beyond counts as absent.
    @unsafe init(_ head: UnsafeRawBufferPointer) {
        var type = unsafe Self.word(head, 12)
        for _ in 0..<2 where type == EtherType.vlan || type == EtherType.serviceVLAN {
            networkOffset &+= 4
            type = unsafe Self.word(head, networkOffset &- 2)
        }
        switch type {
        case EtherType.ipv4: unsafe parseIPv4(head)
        case EtherType.ipv6: unsafe parseIPv6(head)
        default: break
        }
    }

    private mutating func parseIPv4(_ head: UnsafeRawBufferPointer) {
        let first = unsafe Self.byte(head, networkOffset)
        let length = Int(first & 15) &* 4
        guard first >> 4 == 4, length >= 20, networkOffset &+ length <= head.count, let base = head.baseAddress else {
            return
        }
        network = .ipv4
        var sum = InternetChecksum()
        unsafe sum.add(base + networkOffset, count: length)
        hasGoodNetworkChecksum = sum.sumValue == 0xffff
        // More fragments follow, or this is not the first.
        isFragment = unsafe Self.word(head, networkOffset &+ 6) & 0x3fff != 0
        transportOffset = networkOffset &+ length
        unsafe setTransport(Self.byte(head, networkOffset &+ 9))
    }

    private mutating func parseIPv6(_ head: UnsafeRawBufferPointer) {
        guard unsafe Self.byte(head, networkOffset) >> 4 == 6, networkOffset &+ 40 <= head.count else { return }
        network = .ipv6
        var next = unsafe Self.byte(head, networkOffset &+ 6)
        var offset = networkOffset &+ 40
        // A chain of headers is no longer than the bytes at hand; few senders use any.
        for _ in 0..<8 where ProtocolNumber.isExtension(next) {
            guard offset &+ 8 <= head.count else { return }
            next = unsafe Self.byte(head, offset)
            unsafe offset &+= 8 &+ 8 &* Int(Self.byte(head, offset &+ 1))
        }
        isFragment = next == ProtocolNumber.fragment
        transportOffset = offset
        setTransport(next)
    }

    private mutating func setTransport(_ number: UInt8) {
        if isFragment { return }
        switch number {
        case ProtocolNumber.tcp: transport = .tcp
        case ProtocolNumber.udp: transport = .udp
        default: break
        }
    }

    // MARK: Numbers in network order; zero beyond the end

    @unsafe static func byte(_ head: UnsafeRawBufferPointer, _ offset: Int) -> UInt8 {
        offset >= 0 && offset < head.count ? unsafe head[offset] : 0
    }

    @unsafe static func word(_ head: UnsafeRawBufferPointer, _ offset: Int) -> UInt16 {
        unsafe UInt16(byte(head, offset)) << 8 | UInt16(byte(head, offset &+ 1))
    }
}
