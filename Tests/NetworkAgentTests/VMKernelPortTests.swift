import Addresses
import DHCP
import DNSMessages
import HostModel
import Linux
import NetworkService
import Resolver
import TestFiles
import TestNetwork
import Testing

@testable import NetworkAgent

@Suite(
    "A vmkernel port and a DHCP server", .serialized,
    .enabled(if: NameServer.unavailable == nil, Comment(rawValue: NameServer.unavailable ?? "")))
struct VMKernelPortTests {
    /// A port on `vmk0`, its addresses made real whenever they change.
    private final class Rig: @unchecked Sendable {
        // One thread's.
        let loop: EventLoop
        var port: VMKernelPort!
        var log: [String] = []

        init(directory: String, hostName: String? = nil) throws {
            loop = try EventLoop(name: "port")
            var network = try NetworkConfiguration()
            guard let link = try network.links().first(where: { $0.name == "vmk0" }), let address = link.macAddress
            else { throw SystemError(number: 19, operation: "find", subject: "vmk0") }
            port = try VMKernelPort(
                .management, .init(index: link.index, macAddress: address, hasLink: true), hostName: hostName,
                leaseDirectory: directory, on: loop, log: { [unowned self] in self.log.append($0) },
                changed: { [unowned self] in self.apply() })
            port.start(present: try present())
            apply()
        }

        func present() throws -> [LinkAddress] {
            var network = try NetworkConfiguration()
            let index = try NetworkConfiguration.index(of: "vmk0")
            return try network.addresses().filter { $0.link == index }.map(\.address)
        }

        private func apply() {
            // Called while the port is being made, too.
            guard let port, var network = try? NetworkConfiguration(), let here = try? present() else { return }
            for address in here where !port.addresses.contains(address) && !address.isLinkLocal {
                try? network.remove(address, from: "vmk0")
            }
            for address in port.addresses where !here.contains(address) { try? network.add(address, to: "vmk0") }
        }

        func close() { port.close() }
    }

    @Test("gets a lease with all it says, renews it, and goes on with it after a restart without losing the address")
    func lease() throws {
        try withTemporaryDirectory { directory in
            try inOwnNetwork {
                let server = try NameServer(link: "vmk0", directory: directory)
                defer { server.stop() }
                let rig = try Rig(directory: directory, hostName: "esx7")
                #expect(try run(rig.loop) { rig.port.dhcpState == .bound }, "\(rig.log)")
                let lease = try #require(rig.port.lease)
                #expect(lease.server == NameServer.address)
                #expect(lease.prefix == 24)
                #expect(lease.seconds == 120)
                #expect(lease.nameServers == [NameServer.address])
                #expect(lease.searchDomains == ["lab.test", "org.test"])
                #expect(lease.mtu == 1400)
                #expect(lease.ntpServers == [IPv4Address(10, 77, 0, 2)])
                #expect(lease.gateway == IPv4Address(10, 77, 0, 1))
                #expect(rig.port.routes.map { "\($0.destination!)" } == ["192.168.9.0/24"])
                let leases = String(decoding: try readFile("\(directory)/leases"), as: UTF8.self)
                #expect(leases.contains(" esx7 "))

                let first = try #require(rig.port.dhcp?.held?.start)
                rig.port.renew()
                #expect(rig.port.dhcpState == .renewing)
                #expect(try run(rig.loop) { rig.port.dhcpState == .bound })
                #expect(try #require(rig.port.dhcp?.held?.start) > first)
                rig.close()

                // As after a SIGKILL: a new port finds what the old one left.
                let before = try rig.present()
                let again = try Rig(directory: directory)
                #expect(try again.present() == before)
                #expect(again.port.lease?.address == lease.address)
                #expect(try run(again.loop) { again.port.dhcpState == .bound })
                #expect(try again.present() == before)
                again.close()
            }
        }
    }

    @Test("takes a link-local address when nobody answers, and a lease as soon as somebody does")
    func linkLocal() throws {
        try withTemporaryDirectory { directory in
            try inOwnNetwork {
                let server = try NameServer(link: "vmk0", directory: directory)
                server.stop()
                let rig = try Rig(directory: directory)
                #expect(try run(rig.loop, seconds: 40) { rig.port.chosen != nil }, "\(rig.log)")
                let chosen = try #require(rig.port.chosen)
                #expect(chosen.isLinkLocal)
                #expect(rig.port.dhcpState == .searching)
                #expect(try rig.present().contains(.ipv4(chosen, prefix: 16)))
                rig.close()
            }
        }
    }

    @Test("another station with the leased address is noticed before the address is used")
    func conflict() throws {
        try withTemporaryDirectory { directory in
            try inOwnNetwork {
                let server = try NameServer(link: "vmk0", directory: directory)
                defer { server.stop() }
                // The server's own machine answers for every address that it could give.
                try server.network.run {
                    var network = try NetworkConfiguration()
                    for last: UInt8 in 50...59 { try network.add(IPv4Address(10, 77, 0, last), prefix: 32, to: "lo") }
                }
                let rig = try Rig(directory: directory)
                #expect(try run(rig.loop) { rig.port.dhcp?.state == .pausing }, "\(rig.log)")
                #expect(rig.port.lease == nil)
                rig.close()
            }
        }
    }

    @Test("names are looked up at a real server: addresses, names of addresses, long answers over TCP")
    func names() throws {
        try withTemporaryDirectory { directory in
            try inOwnNetwork {
                // More addresses than fit 512 bytes.
                let many = (1...60).map { "10.88.0.\($0) many.lab.test\n" }.joined()
                let server = try NameServer(
                    link: "vmk0", directory: directory, hosts: "10.77.0.9 esx9.lab.test\nfd00::9 esx9.lab.test\n" + many
                )
                defer { server.stop() }
                var network = try NetworkConfiguration()
                try network.add(IPv4Address(10, 77, 0, 7), prefix: 24, to: "vmk0")
                let loop = try EventLoop(name: "names")
                let settings = ResolverSettings(servers: [NameServer.address], searchDomains: ["lab.test"])
                func answer(_ lookup: Lookup) throws -> Result<[DNSAnswer.Value], LookupError> {
                    var result: Result<[DNSAnswer.Value], LookupError>?
                    let request = try ResolverRequest(lookup, on: loop) { result = $0 }
                    _ = try run(loop) { result != nil }
                    withExtendedLifetime(request) {}
                    return try #require(result)
                }
                #expect(
                    try answer(Lookup("esx9", .addresses, settings))
                        == .success([.ipv4(IPv4Address(10, 77, 0, 9)), .ipv6(try #require(IPv6Address("fd00::9")))]))
                let name = try #require(DomainName("esx9.lab.test"))
                #expect(try answer(Lookup(nameOf: IPv4Address(10, 77, 0, 9), settings)) == .success([.name(name)]))
                #expect(try answer(Lookup("many.lab.test", .ipv4Addresses, settings)).get().count == 60)
                #expect(
                    try answer(Lookup("nobody.lab.test", .ipv4Addresses, settings))
                        == .failure(.notFound("nobody.lab.test")))
            }
        }
    }
}
