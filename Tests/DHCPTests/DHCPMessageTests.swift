import Addresses
import Testing

@testable import DHCP

@Suite("DHCP messages")
struct DHCPMessageTests {
    private static let macAddress = MACAddress(number: 0x5254_0012_3456)

    /// A server's acknowledgement with these options after the message's kind.
    static func reply(_ options: [UInt8], kind: UInt8 = 5, file: [UInt8] = [], name: [UInt8] = []) -> [UInt8] {
        var bytes: [UInt8] =
            [2, 1, 6, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 2, 15] + [UInt8](repeating: 0, count: 8)
        bytes += [0x52, 0x54, 0, 0x12, 0x34, 0x56] + [UInt8](repeating: 0, count: 10)
        bytes += name + [UInt8](repeating: 0, count: 64 - name.count)
        bytes += file + [UInt8](repeating: 0, count: 128 - file.count)
        return bytes + [0x63, 0x82, 0x53, 0x63, 53, 1, kind] + options + [255]
    }

    /// What every lease needs: server 10.0.2.2, an hour.
    static let needed: [UInt8] = [54, 4, 10, 0, 2, 2, 51, 4, 0, 0, 0x0e, 0x10]

    private func lease(_ options: [UInt8]) -> DHCPLease? {
        DHCPMessage(Self.reply(Self.needed + options)).flatMap { DHCPLease($0) }
    }

    @Test("a message reads back as it was written, and is as long as relays want it")
    func roundTrip() {
        var message = DHCPMessage(.request, transaction: 0xdead_beef, macAddress: Self.macAddress)
        message.seconds = 7
        message.wantsBroadcast = true
        message.clientAddress = IPv4Address(10, 1, 2, 3)
        message.options[.hostName] = Array("esx".utf8)
        message.options[.domainSearch] = [UInt8](repeating: 7, count: 300)
        #expect(DHCPMessage(message.bytes) == message)
        #expect(DHCPMessage(.discover, transaction: 1, macAddress: Self.macAddress).bytes.count == 300)
    }

    @Test("an acknowledgement gives everything a host needs")
    func everything() throws {
        var options: [UInt8] = [1, 4, 255, 255, 255, 0, 3, 8, 10, 0, 2, 2, 10, 0, 2, 3, 6, 8, 10, 0, 2, 3, 1, 1, 1, 1]
        options += [15, 11] + Array("example.org".utf8)
        options += [12, 4] + Array("esx1".utf8)
        options += [26, 2, 0x05, 0x78, 42, 4, 10, 0, 2, 4, 58, 4, 0, 0, 0, 100, 59, 4, 0, 0, 0, 200]
        let lease = try #require(self.lease(options))
        #expect(lease.address == IPv4Address(10, 0, 2, 15))
        #expect(lease.prefix == 24)
        #expect(lease.server == IPv4Address(10, 0, 2, 2))
        #expect(lease.seconds == 3600)
        #expect(lease.gateway == IPv4Address(10, 0, 2, 2))
        #expect(lease.nameServers == [IPv4Address(10, 0, 2, 3), IPv4Address(1, 1, 1, 1)])
        #expect(lease.domain == "example.org")
        #expect(lease.hostName == "esx1")
        #expect(lease.mtu == 1400)
        #expect(lease.ntpServers == [IPv4Address(10, 0, 2, 4)])
        #expect(lease.renewalSeconds == 100)
        #expect(lease.rebindingSeconds == 200)
    }

    @Test("times a server does not give, or gives without sense, are half and seven eighths")
    func times() {
        #expect(lease([])?.renewalSeconds == 1800)
        #expect(lease([])?.rebindingSeconds == 3150)
        let odd = lease([58, 4, 0, 0, 0x20, 0, 59, 4, 0, 0, 0xff, 0])
        #expect(odd?.renewalSeconds == 1800)
        #expect(odd?.rebindingSeconds == 3150)
        let forever = DHCPMessage(Self.reply([54, 4, 10, 0, 2, 2, 51, 4, 255, 255, 255, 255])).flatMap { DHCPLease($0) }
        #expect(forever?.seconds == nil)
        let short = DHCPMessage(Self.reply([54, 4, 10, 0, 2, 2, 51, 4, 0, 0, 0, 1])).flatMap { DHCPLease($0) }
        #expect(short?.seconds == 60)
    }

    @Test("classless routes replace the router, and broken ones are none")
    func routes() {
        let routes = lease(
            [3, 4, 10, 0, 2, 9, 121, 21, 24, 192, 168, 5, 10, 0, 2, 7, 0, 10, 0, 2, 8, 17, 10, 9, 255, 0, 0, 0, 0])?
            .routes
        #expect(
            routes == [
                .init(network: IPv4Address(192, 168, 5, 0), prefix: 24, router: IPv4Address(10, 0, 2, 7)),
                .init(network: IPv4Address(number: 0), prefix: 0, router: IPv4Address(10, 0, 2, 8)),
                .init(network: IPv4Address(10, 9, 128, 0), prefix: 17, router: nil),
            ])
        #expect(lease([3, 4, 10, 0, 2, 9, 121, 5, 33, 1, 2, 3, 4])?.gateway == IPv4Address(10, 0, 2, 9))
        #expect(lease([3, 4, 10, 0, 2, 9, 121, 4, 24, 1, 2, 3])?.gateway == IPv4Address(10, 0, 2, 9))
    }

    @Test("search domains may share their ends")
    func searchDomains() {
        let value: [UInt8] = [3] + Array("eng".utf8) + [7] + Array("example".utf8) + [3] + Array("com".utf8) + [0]
        let more: [UInt8] = [5] + Array("sales".utf8) + [0xc0, 4]
        #expect(
            lease([119, UInt8((value + more).count)] + value + more)?.searchDomains
                == ["eng.example.com", "sales.example.com"])
        #expect(lease([119, 2, 0xc0, 0])?.searchDomains == [])
    }

    @Test("options in the boot file's and the server name's fields are found; pieces are put together")
    func overload() throws {
        let bytes = Self.reply(
            [52, 1, 3] + Self.needed + [6, 2, 10, 0], file: [6, 2, 2, 3, 255], name: [15, 1, UInt8(ascii: "x"), 255])
        let message = try #require(DHCPMessage(bytes))
        #expect(DHCPLease(message)?.nameServers == [IPv4Address(10, 0, 2, 3)])
        #expect(DHCPLease(message)?.domain == "x")
    }

    @Test("addresses no host can have are not taken")
    func impossible() {
        #expect(DHCPMessage(Self.reply([51, 4, 0, 0, 0x0e, 0x10])).flatMap { DHCPLease($0) } == nil)
        #expect(
            DHCPMessage(Self.reply([54, 4, 255, 255, 255, 255, 51, 4, 0, 0, 1, 0])).flatMap { DHCPLease($0) } == nil)
        #expect(DHCPMessage(Self.reply([54, 4, 10, 0, 2, 2, 51, 4, 0, 0, 0, 0])).flatMap { DHCPLease($0) } == nil)
        #expect(lease([1, 4, 255, 0, 255, 0])?.prefix == 8)
        #expect(lease([3, 4, 127, 0, 0, 1, 6, 4, 224, 0, 0, 1])?.gateway == nil)
    }

    @Test("what is cut short or no message is refused at every length")
    func truncated() {
        let whole = Self.reply(Self.needed)
        for count in 0..<240 { #expect(DHCPMessage(Array(whole.prefix(count))) == nil) }
        for count in 240..<whole.count { _ = DHCPMessage(Array(whole.prefix(count))) }
        var other = whole
        other[236] = 0
        #expect(DHCPMessage(other) == nil)
        #expect(DHCPMessage(Self.reply([53, 1, 5])) == nil)
        #expect(DHCPMessage(Self.reply([], kind: 77)) == nil)
    }
}

@Suite("Packets below DHCP")
struct PacketTests {
    private let packet = UDPPacket(
        sourceMAC: MACAddress(number: 1), source: IPv4Address(number: 0), destination: IPv4Address(255, 255, 255, 255),
        sourcePort: 68, destinationPort: 67, payload: [1, 2, 3])

    @Test("the checksum is RFC 1071's")
    func checksum() {
        #expect(UDPPacket.checksum([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]) == ~0xddf2)
        #expect(UDPPacket.checksum([]) == 0xffff)
    }

    @Test("a datagram reads back as it was written, with padding behind it, too")
    func udp() {
        #expect(UDPPacket(frame: packet.frame) == packet)
        #expect(UDPPacket(frame: packet.frame + [0, 0, 0, 0]) == packet)
    }

    @Test("every flipped bit of header or payload is seen, unless the checksum is not there yet")
    func flipped() {
        let frame = packet.frame
        for index in 14..<frame.count {
            var broken = frame
            broken[index] ^= 0x10
            #expect(UDPPacket(frame: broken) == nil, "byte \(index)")
        }
        var unfinished = frame
        unfinished[40] ^= 0xff
        #expect(UDPPacket(frame: unfinished, hasChecksums: false)?.payload == [1, 2, 3])
        for count in 0..<frame.count { #expect(UDPPacket(frame: Array(frame.prefix(count))) == nil) }
    }

    @Test("ARP reads back as it was written; other protocols are refused")
    func arp() {
        let probe = ARPPacket.probe(IPv4Address(10, 0, 0, 1), from: MACAddress(number: 7))
        #expect(ARPPacket(frame: probe.frame) == probe)
        #expect(probe.frame.count == 42)
        for count in 0..<42 { #expect(ARPPacket(frame: Array(probe.frame.prefix(count))) == nil) }
        #expect(ARPPacket(frame: packet.frame) == nil)
    }
}
