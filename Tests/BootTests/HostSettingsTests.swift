import Testing

@testable import Boot

@Suite("Host settings on the kernel command line")
struct HostSettingsTests {
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
