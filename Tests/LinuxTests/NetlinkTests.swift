import Addresses
import TestNetwork
import Testing

@testable import Linux

@Suite("Netlink")
struct NetlinkTests {
    @Test("a request is a header, a fixed part, and padded attributes")
    func golden() {
        var request = NetlinkRequest(16, flags: 0x600)  // RTM_NEWLINK, create and exclusive
        for _ in 0..<4 { request.append(UInt32(0)) }  // struct ifinfomsg
        request.attribute(3, "br0")  // IFLA_IFNAME
        request.nest(18) { $0.attribute(1, "bridge") }  // IFLA_LINKINFO, IFLA_INFO_KIND
        let expected: [UInt8] =
            [56, 0, 0, 0] + [16, 0] + [5, 6] + [7, 0, 0, 0] + [0, 0, 0, 0]  // length, type, flags, sequence, port
            + [UInt8](repeating: 0, count: 16)
            + [8, 0, 3, 0] + Array("br0\0".utf8)
            + [16, 0, 18, 0] + [11, 0, 1, 0] + Array("bridge\0\0".utf8)
        #expect(request.finished(sequence: 7) == expected)
    }

    @Test("a kernel event is read, udev's own are not")
    func uevent() {
        let message = Array("add@/devices/pci0000:00/0000:00:05.0\0ACTION=add\0MODALIAS=pci:v1\0SEQNUM=1\0".utf8)
        let event = Uevent(message)
        #expect(event?.action == "add")
        #expect(event?.path == "/devices/pci0000:00/0000:00:05.0")
        #expect(event?.properties["MODALIAS"] == "pci:v1")
        #expect(Uevent(Array("libudev\0\u{1}".utf8)) == nil)
        #expect(Uevent([]) == nil)
    }
}

@Suite("Network configuration", .enabled(if: networkUnavailable == nil))
struct NetworkConfigurationTests {
    @Test("a bridge gets its ports, its address and the way out, and a missing link is named")
    func bridge() throws {
        try inOwnNetwork {
            var network = try NetworkConfiguration()
            try network.addBridge("br0")
            let tap = try TapQueue("port0")
            try network.setMaster(of: tap.name, to: "br0")
            try network.setUp(tap.name)
            try network.setUp("br0")
            try network.setMTU(of: "br0", to: 1400)
            try network.add(IPv4Address(10, 1, 2, 3), prefix: 24, to: "br0")
            try network.setDefaultGateway(IPv4Address(10, 1, 2, 1))
            let index = try NetworkConfiguration.index(of: "br0")
            #expect(index > 1)
            do throws(SystemError) {
                try network.addBridge("br0")
                Issue.record("made a bridge twice")
            } catch { #expect(error.isExisting) }
            do throws(SystemError) {
                try network.setUp("none0")
                Issue.record("brought up what is not there")
            } catch { #expect(error.subject == "none0") }
            // The kernel takes a gateway only where an address makes it a neighbour.
            do throws(SystemError) {
                try network.setDefaultGateway(IPv4Address(192, 0, 2, 1))
                Issue.record("took a gateway out of reach")
            } catch { #expect("\(error)" == "set default gateway 192.0.2.1: Network is unreachable") }
            try network.delete("br0")
            #expect(throws: SystemError.self) { try NetworkConfiguration.index(of: "br0") }
        }
    }
}
