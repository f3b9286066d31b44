import Linux
import TestFiles
import Testing

@testable import SystemImage

@Suite("Formats of the boot medium")
struct FormatTests {
    @Test("cpio unpacks the archive to the same files", .enabled(if: fileExists("/usr/bin/cpio"), "no cpio"))
    func archive() throws {
        var archive = CPIOArchive()
        archive.directory("tmp", permissions: 0o1777)
        archive.file("bin/wafer", [1, 2, 3, 4, 5], permissions: 0o755)
        archive.file("etc/deep/er/file", [9])
        archive.link("init", to: "bin/wafer")
        let bytes = archive.finish()
        try withTemporaryDirectory { directory in
            try Files.replace("\(directory)/archive", with: bytes)
            let script = "cd \(directory) && cpio -id --quiet <archive"
            #expect(try run("/bin/sh", ["-c", script]) == 0)
            #expect(try readFile("\(directory)/bin/wafer") == [1, 2, 3, 4, 5])
            #expect(try readFile("\(directory)/etc/deep/er/file") == [9])
            #expect(FileSystem.status(of: "\(directory)/bin/wafer")?.permissions == 0o755)
            #expect(FileSystem.status(of: "\(directory)/tmp")?.permissions == 0o1777)
            #expect(try FileSystem.linkTarget("\(directory)/init") == "bin/wafer")
        }
    }

    @Test("the checksum is the one of the standard's check value")
    func checksum() { #expect(CRC32.checksum(Array("123456789".utf8)) == 0xcbf4_3926) }

    @Test("identifiers stand on disk as UEFI says")
    func identifiers() {
        // C12A7328-F81F-11D2-BA4B-00A0C93EC93B, the specification's own example of byte order.
        #expect(
            GUIDPartitionTable.Identifier.efiSystem.bytes == [
                0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
            ])
    }

    @Test("the BIOS loader's sectors lead to one another")
    func biosLoader() throws {
        let boot = [UInt8](repeating: 0xee, count: 512)
        let core = [UInt8](repeating: 0xee, count: 512 * 3 + 1)
        let loader = try BIOSLoader(bootImage: boot, coreImage: core, sector: 2048)
        #expect(loader.bootCode.count == 440)
        #expect(Array(loader.bootCode[0x5c..<0x67]) == [0, 8, 0, 0, 0, 0, 0, 0, 0xff, 0xee, 0x90])
        #expect(loader.core.count == 512 * 4)
        // The rest of the core: three sectors from 2049 on, to segment 0x820.
        #expect(Array(loader.core[0x1f4..<0x200]) == [1, 8, 0, 0, 0, 0, 0, 0, 3, 0, 0x20, 0x08])
        #expect(throws: ImageError.self) { try BIOSLoader(bootImage: [], coreImage: core, sector: 2048) }
    }

    @Test("the list of modules has groups, modules to load, comments, and errors with their line")
    func moduleList() throws {
        let text = "# what\nkvm: machines run # indeed\n    kvm +kvm-amd\n\nnet: packets\n    tun\n"
        let list = try ModuleList(parsing: text, name: "list")
        #expect(list.groups.map(\.name) == ["kvm", "net"])
        #expect(list.groups[0].reason == "machines run")
        #expect(list.modules == ["kvm", "kvm-amd", "tun"])
        #expect(list.loadedAtBoot == ["kvm-amd"])
        for (text, line) in [("    kvm\n", 1), ("a: b\n  x\nc\n", 3), ("a:\n", 1), ("a: b\n  x x\n", 2)] {
            #expect {
                try ModuleList(parsing: text, name: "list")
            } throws: {
                "\($0)".hasPrefix("list:\(line): ")
            }
        }
    }

    @Test("options come in any order, each exactly once")
    func options() {
        #expect(ImageCommand.options(["--b", "2", "--a", "1"], ["a", "b"]) == ["1", "2"])
        for arguments in [["--a", "1"], ["--a", "1", "--a", "2"], ["--a", "1", "--c", "2"], ["--a", "1", "--b"]] {
            #expect(ImageCommand.options(arguments, ["a", "b"]) == nil)
        }
    }
}
