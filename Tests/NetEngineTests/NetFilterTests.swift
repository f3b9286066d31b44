import NetEngine
import Testing

@Suite("Receive filter")
struct NetFilterTests {
    static let own = MACAddress(0x00, 0x0c, 0x29, 1, 2, 3)
    static let other = MACAddress(0x00, 0x0c, 0x29, 1, 2, 4)
    static let group = MACAddress(0x01, 0x00, 0x5e, 0, 0, 1)

    func accepts(_ filter: NetFilter, _ target: MACAddress, vlan: UInt16? = nil, count: Int = 60) -> Bool {
        var head = InlineArray<18, UInt8>(repeating: 0)
        for index in 0..<6 { head[index] = target[index] }
        if let vlan {
            head[12] = 0x81
            head[14] = UInt8(vlan >> 8)
            head[15] = UInt8(vlan & 0xff)
        }
        return filter.accepts(head, count: count)
    }

    var strict: NetFilter {
        var filter = NetFilter(Self.own)
        filter.isPromiscuous = false
        return filter
    }

    @Test("a new filter passes everything, except what is no frame")
    func promiscuous() {
        let filter = NetFilter(Self.own)
        #expect(accepts(filter, Self.other))
        #expect(accepts(filter, Self.group, vlan: 7))
        #expect(!accepts(filter, Self.own, count: 13))
    }

    @Test("own address and broadcast pass always; others when listed")
    func addresses() {
        var filter = strict
        #expect(accepts(filter, Self.own))
        #expect(accepts(filter, .broadcast))
        #expect(!accepts(filter, Self.other))
        #expect(!accepts(filter, Self.group))
        filter.setAddresses([Self.other, Self.group])
        #expect(accepts(filter, Self.other))
        #expect(accepts(filter, Self.group))
        filter.setAddresses([])
        #expect(!accepts(filter, Self.other))
        filter.allMulticast = true
        #expect(accepts(filter, Self.group))
        #expect(!accepts(filter, Self.other))
    }

    @Test("a list that overflows passes all of that kind")
    func overflow() {
        var filter = strict
        filter.setAddresses((0..<65).map { MACAddress(rawValue: 0x0100_5e00_0000 | UInt64($0)) })
        #expect(accepts(filter, MACAddress(0x01, 0x80, 0xc2, 0, 0, 0)))
        #expect(!accepts(filter, Self.other))
        filter.setAddresses((0..<65).map { MACAddress(rawValue: 0x0200_0000_0000 | UInt64($0)) })
        #expect(accepts(filter, Self.other))
        #expect(!accepts(filter, Self.group))
    }

    @Test("tagged frames pass when their VLAN is listed, untagged and priority-tagged ones always")
    func vlans() {
        var filter = strict
        #expect(accepts(filter, Self.own, vlan: 5))
        filter.filtersVLANs = true
        #expect(!accepts(filter, Self.own, vlan: 5))
        #expect(accepts(filter, Self.own))
        #expect(accepts(filter, Self.own, vlan: 0xe000))
        filter.setVLAN(5, true)
        filter.setVLAN(4095, true)
        #expect(accepts(filter, Self.own, vlan: 0x2005))
        #expect(accepts(filter, Self.own, vlan: 4095))
        filter.setVLAN(5, false)
        #expect(!accepts(filter, Self.own, vlan: 5))
        #expect(filter.hasVLAN(4095))
    }
}

@Suite("MAC addresses")
struct MACAddressTests {
    @Test("text is read and written as VMware writes it")
    func text() {
        #expect(MACAddress("00:0c:29:AB:cd:ef")?.description == "00:0c:29:ab:cd:ef")
        #expect(MACAddress("0-c-29-1-2-3") == MACAddress(0, 0x0c, 0x29, 1, 2, 3))
    }

    @Test(
        "anything else is refused",
        arguments: ["", "00:0c:29:ab:cd", "00:0c:29:ab:cd:ef:00", "00:0c:29:ab:cd:g0", "00:0c:29:ab:cd:+1", "::::: "])
    func refused(text: String) { #expect(MACAddress(text) == nil) }

    @Test("groups, stations and nobody are told apart")
    func kinds() {
        #expect(MACAddress.broadcast.isMulticast)
        #expect(MACAddress(1, 0, 0x5e, 0, 0, 1).isMulticast)
        #expect(MACAddress(0, 0x0c, 0x29, 0, 0, 1).isUnicast)
        #expect(!MACAddress(rawValue: 0).isUnicast)
    }
}
