import Addresses
import Testing

@testable import Boot

@Suite("Host settings on the kernel command line")
struct HostSettingsTests {
    @Test("a network is an address with a prefix, and perhaps a gateway")
    func network() {
        let network = HostNetwork("10.0.2.15/24,10.0.2.2")
        #expect(network?.address == IPv4Address(10, 0, 2, 15))
        #expect(network?.prefix == 24)
        #expect(network?.gateway == IPv4Address(10, 0, 2, 2))
        #expect(HostNetwork("192.168.1.1/32")?.gateway == nil)
    }

    @Test(
        "what is no network is refused",
        arguments: [
            "", "10.0.2.15", "10.0.2.15/33", "10.0.2/24", "10.0.2.256/24", "10.0.2.15/24,", "+1.0.0.1/8", "a/b,c",
        ])
    func noNetwork(text: String) { #expect(HostNetwork(text) == nil) }

    @Test("a data disk is named by path, label or serial number")
    func disks() {
        #expect(DataDisk("/dev/vda:/data")?.disk == .path("/dev/vda"))
        #expect(DataDisk("LABEL=vmdata:/vms:ext4")?.disk == .label("vmdata"))
        let disk = DataDisk("SERIAL=bench:/bench:ext4:ro,noload")
        #expect(disk?.disk == .serial("bench"))
        #expect(disk?.type == "ext4")
        #expect(disk?.options == "ro,noload")
        #expect(DataDisk("/dev/vda:/data")?.type == "ext4")
    }

    @Test("what is no data disk is refused", arguments: ["", "/dev/vda", "vda:/data", "/dev/vda:data", "/a:/b:c:d:e"])
    func noDisk(text: String) { #expect(DataDisk(text) == nil) }

    @Test("an ext4 label is read from its superblock, and only from one")
    func label() {
        var bytes = [UInt8](repeating: 0, count: 2048)
        bytes[1024 + 0x38] = 0x53
        bytes[1024 + 0x39] = 0xef
        bytes.replaceSubrange((1024 + 0x78)..<(1024 + 0x7e), with: Array("vmdata".utf8))
        #expect(DataDisk.ext4Label(bytes) == "vmdata")
        bytes[1024 + 0x38] = 0
        #expect(DataDisk.ext4Label(bytes) == nil)
        #expect(DataDisk.ext4Label(Array(bytes.prefix(1100))) == nil)
    }
}
