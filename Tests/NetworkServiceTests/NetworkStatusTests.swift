import Addresses
import Messages
import Testing

@testable import NetworkService

@Suite("The network agent's messages")
struct NetworkStatusTests {
    private func reread<Field: MessageField>(_ field: Field) throws -> Field {
        var writer = FieldWriter()
        field.write(to: &writer)
        var reader = FieldReader(writer.bytes)
        let copy = try Field(from: &reader)
        try reader.finish()
        return copy
    }

    /// A status with something in every field.
    private var status: NetworkStatus {
        var status = NetworkStatus()
        status.hostName = "esx1"
        status.isHostNameFromDHCP = true
        var adapter = AdapterStatus()
        adapter.name = "vmnic0"
        adapter.speed = 10_000
        adapter.hasLink = true
        status.adapters = [adapter]
        var virtualSwitch = SwitchStatus()
        virtualSwitch.name = "vSwitch0"
        var group = PortGroupStatus()
        group.vlan = 4095
        group.ports = ["vmk0", "tap0"]
        virtualSwitch.portGroups = [group]
        status.switches = [virtualSwitch]
        var vmknic = VMKNICStatus()
        vmknic.isManagement = true
        vmknic.ipv4 = IPv4Status(address: IPv4Address(169, 254, 7, 7), prefix: 16, origin: .linkLocal)
        vmknic.ipv6 = IPv6Network("fd00::5/64").map { [IPv6Status(network: $0, origin: .advertised)] } ?? []
        vmknic.dhcp = .renewing
        vmknic.leaseSecondsLeft = 5
        status.vmknics = [vmknic]
        status.gateway = IPv4Address(10, 0, 0, 1)
        status.ipv6Gateway = IPv6Address("fe80::1")
        status.dnsServers = [IPv4Address(10, 0, 0, 2)]
        status.trialSecondsLeft = 60
        status.problems = ["no"]
        return status
    }

    @Test("a status comes over as it is")
    func roundTrip() throws {
        #expect(try reread(status) == status)
        #expect(try reread(NetworkStatus()) == NetworkStatus())
        #expect(try reread(PingResult(sent: 3, received: 2, averageMicroseconds: 9, problem: "x")).received == 2)
        #expect(try reread(ConnectPort(portGroup: "VM Network", tap: "tap0")).portGroup == "VM Network")
    }

    @Test("a message that is cut short or has an impossible field is refused")
    func broken() {
        var writer = FieldWriter()
        status.write(to: &writer)
        for count in stride(from: 0, to: writer.bytes.count, by: 3) {
            var reader = FieldReader(Array(writer.bytes.prefix(count)))
            #expect(throws: MessageError.self) { try NetworkStatus(from: &reader) }
        }
        var other = FieldWriter()
        other.write(IPv6Address("::1")!)
        other.write(UInt8(129))
        other.write(AddressOrigin.fixed)
        var reader = FieldReader(other.bytes)
        #expect(throws: MessageError.unknownValue(129)) { try IPv6Status(from: &reader) }
    }

    @Test("the host is reached at a routable address rather than a link-local one")
    func management() {
        var status = status
        #expect(status.managementAddress == IPv4Address(169, 254, 7, 7))
        var other = status.vmknics[0]
        other.ipv4 = IPv4Status(address: IPv4Address(10, 0, 0, 5), prefix: 24, origin: .dhcp)
        status.vmknics.append(other)
        #expect(status.managementAddress == IPv4Address(10, 0, 0, 5))
    }
}
