import SimulatedDisk
import Testing

@testable import FAT

@Suite("Finding files on a FAT file system")
struct FATReaderTests {
    private func volume(_ format: FATVolume.Format, size: Int, cluster: Int) throws -> SimulatedDisk {
        let disk = SimulatedDisk(size: size)
        let files: [(path: String, bytes: [UInt8])] = [
            ("EFI/BOOT/BOOTX64.EFI", .init(repeating: 1, count: 3000)), ("grub/grub.cfg", Array("menu".utf8)),
            ("grub/grubenv", .init(repeating: 35, count: 1024)), ("empty", []),
        ]
        let volume = try FATVolume(
            format, size: UInt64(size), clusterSize: cluster, label: "TEST", serial: 1, hiddenSectors: 0,
            files: files.map { .init(path: $0.path, size: UInt64($0.bytes.count)) })
        for extent in volume.structures { try disk.write(extent.bytes, at: extent.offset) }
        for file in files { try disk.write(file.bytes, at: volume.contents[file.path] ?? 0) }
        return disk
    }

    @Test("files are found by their paths, in any case, on FAT16 and FAT32")
    func finding() throws {
        for disk in try [
            volume(.fat16, size: 3 << 20, cluster: 512), volume(.fat16, size: 20 << 20, cluster: 4096),
            volume(.fat32, size: 36 << 20, cluster: 512),
        ] {
            let reader = try FATReader(disk)
            #expect(try reader.contents("grub/grubenv", limit: 1024) == .init(repeating: 35, count: 1024))
            #expect(try reader.contents("GRUB/GRUB.CFG", limit: 1024) == Array("menu".utf8))
            #expect(try reader.contents("efi/boot/bootx64.efi", limit: 4096).count == 3000)
            #expect(try reader.contents("empty", limit: 0) == [])
            let stretches = try reader.stretches(of: reader.entry("grub/grubenv"), "grub/grubenv")
            #expect(stretches.map(\.count).reduce(0, +) == 1024)
            #expect(try disk.read(1, at: stretches[0].offset) == [35])
            for path in ["grub/none", "none/grubenv", "empty/x", "grub", "", "a name that is too long"] {
                #expect(throws: FATReadError.notFound(path)) { try reader.contents(path, limit: 10) }
            }
            #expect(throws: FATReadError.damaged("grub/grubenv")) { try reader.contents("grub/grubenv", limit: 1023) }
        }
    }

    /// A FAT12 file system of 100 clusters of one sector, with the file `A` in clusters 5, 3, 4.
    private func small() throws -> SimulatedDisk {
        let disk = SimulatedDisk(size: 104 * 512)
        var boot = [UInt8](repeating: 0, count: 512)
        boot.replaceSubrange(11..<24, with: [0, 2, 1, 1, 0, 1, 16, 0, 103, 0, 0xf8, 1, 0])
        boot[510] = 0x55
        boot[511] = 0xaa
        try disk.write(boot, at: 0)
        // 12-bit entries, two in three bytes: 3 -> 4, 4 -> end, 5 -> 3.
        var table = [UInt8](repeating: 0, count: 512)
        for (entry, value) in [(3, 4), (4, 0xfff), (5, 3)] {
            let place = entry * 3 / 2
            if entry % 2 == 0 {
                table[place] = UInt8(value & 0xff)
                table[place + 1] |= UInt8(value >> 8)
            } else {
                table[place] |= UInt8(value << 4 & 0xff)
                table[place + 1] = UInt8(value >> 4)
            }
        }
        try disk.write(table, at: 512)
        var entry = Array("A          ".utf8) + [UInt8](repeating: 0, count: 21)
        entry[26] = 5
        entry[28] = 0xff
        entry[29] = 4  // 1279 bytes
        try disk.write(entry, at: 1024)
        for (cluster, fill) in [(5, UInt8(1)), (3, 2), (4, 3)] {
            try disk.write([UInt8](repeating: fill, count: 512), at: UInt64(1536 + (cluster - 2) * 512))
        }
        return disk
    }

    @Test("a file in pieces on FAT12 is read in its order")
    func pieces() throws {
        let disk = try small()
        let reader = try FATReader(disk)
        let expected =
            [UInt8](repeating: 1, count: 512) + [UInt8](repeating: 2, count: 512) + [UInt8](repeating: 3, count: 255)
        #expect(try reader.contents("a", limit: 2000) == expected)
        #expect(try reader.stretches(of: reader.entry("a"), "a").map(\.count) == [512, 767])
    }

    @Test("chains that go round, lead out or end early are damage, never an endless loop")
    func hostileChains() throws {
        let disk = try small()
        // The whole table points to cluster 3; the file claims 4 GiB.
        try disk.write([UInt8](repeating: 0x03, count: 512), at: 512)
        try disk.write([0xff, 0xff, 0xff, 0xff], at: 1024 + 28)
        #expect(throws: FATReadError.damaged("a")) { try FATReader(disk).contents("a", limit: .max) }
        try disk.write([UInt8](repeating: 0, count: 512), at: 512)
        try disk.write([0xff, 4, 0, 0], at: 1024 + 28)
        #expect(throws: FATReadError.damaged("a")) { try FATReader(disk).contents("a", limit: 2000) }
        try disk.write([0xff, 0x0f], at: 1024 + 26)
        #expect(throws: FATReadError.damaged("a")) { try FATReader(disk).contents("a", limit: 2000) }
    }

    @Test("a boot sector with impossible numbers is no file system")
    func hostileBootSectors() throws {
        let good = try small()
        for (place, bytes) in [
            (510, [0, 0]), (11, [0, 0]), (11, [1, 2]), (13, [0]), (13, [3]), (14, [0, 0]), (16, [0]), (16, [9]),
            (22, [0, 0]), (19, [0xff, 0xff]), (19, [2, 0]), (17, [0, 0]),
        ] as [(UInt64, [UInt8])] {
            let disk = good.copy()
            try disk.write(bytes, at: place)
            #expect(throws: FATReadError.noFileSystem, "\(bytes) at \(place)") { try FATReader(disk) }
        }
    }

    @Test("a disk that cannot be read says so")
    func unreadable() throws {
        let disk = try small()
        disk.unreadable = [2]
        #expect(throws: FATReadError.self) { try FATReader(disk).contents("a", limit: 2000) }
    }
}
