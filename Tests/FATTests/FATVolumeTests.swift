import Linux
import TestFiles
import Testing

@testable import FAT

@Suite("FAT volumes")
struct FATVolumeTests {
    struct Content {
        var path: String
        var bytes: [UInt8]
    }

    /// Files at the edges of clusters, and in directories.
    static let contents = [
        Content(path: "vmlinuz", bytes: bytes(100_000)), Content(path: "empty.txt", bytes: []),
        Content(path: "EFI/BOOT/BOOTX64.EFI", bytes: bytes(4096)), Content(path: "EFI/BOOT/one.b", bytes: [1]),
        Content(path: "grub/grub.cfg", bytes: bytes(4097)), Content(path: "manifest.sig", bytes: bytes(64)),
    ]

    static func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) } }

    static func volume(_ format: FATVolume.Format, size: UInt64, cluster: Int, _ contents: [Content] = contents) throws
        -> FATVolume
    {
        try FATVolume(
            format, size: size, clusterSize: cluster, label: "WAFER-A", serial: 0x1234_5678, hiddenSectors: 2048,
            files: contents.map { .init(path: $0.path, size: UInt64($0.bytes.count)) })
    }

    /// The volume over old data, as when a bank is written anew.
    static func write(_ volume: FATVolume, _ contents: [Content], size: UInt64, to path: String) throws {
        let file = try Descriptor(opening: path, [.writeOnly, .create, .truncate])
        let old = [UInt8](repeating: 0xaa, count: 1 << 20)
        for offset in stride(from: 0, to: Int64(size), by: old.count) { try file.write(old, at: offset) }
        for extent in volume.structures { try file.write(extent.bytes, at: Int64(extent.offset)) }
        for content in contents {
            try file.write(content.bytes, at: Int64(try #require(volume.contents[content.path])))
        }
        try file.resize(to: Int64(size))
    }

    @Test(
        "dosfstools find nothing wrong and mtools read every file back, whatever stood there before",
        .enabled(if: fileExists("/sbin/fsck.vfat") && fileExists("/usr/bin/mcopy"), "no dosfstools or mtools"),
        arguments: [
            (FATVolume.Format.fat16, UInt64(36) << 20, 4096), (.fat16, 4 << 20, 512), (.fat32, 36 << 20, 512),
            (.fat32, 512 << 20, 4096),
        ])
    func foreignTools(format: FATVolume.Format, size: UInt64, cluster: Int) throws {
        try withTemporaryDirectory { directory in
            let image = "\(directory)/image"
            try Self.write(Self.volume(format, size: size, cluster: cluster), Self.contents, size: size, to: image)
            #expect(try run("/sbin/fsck.vfat", ["-n", "-V", image]) == 0)
            for content in Self.contents {
                let copy = "\(directory)/copy"
                #expect(try run("/usr/bin/mcopy", ["-o", "-i", image, "::/\(content.path)", copy]) == 0)
                #expect(try readFile(copy) == content.bytes, "\(content.path)")
            }
        }
    }

    @Test("every file lies in one piece, and the structures touch none of them")
    func contiguity() throws {
        let volume = try Self.volume(.fat16, size: 36 << 20, cluster: 4096)
        var ranges = volume.structures.map { $0.offset..<($0.offset + UInt64($0.bytes.count)) }
        for content in Self.contents where !content.bytes.isEmpty {
            let offset = try #require(volume.contents[content.path])
            ranges.append(offset..<(offset + UInt64(content.bytes.count)))
        }
        ranges.sort { $0.lowerBound < $1.lowerBound }
        for (first, second) in zip(ranges, ranges.dropFirst()) { #expect(first.upperBound <= second.lowerBound) }
        #expect(try #require(ranges.last).upperBound <= 36 << 20)
    }

    @Test("the same files give the same bytes")
    func reproducible() throws {
        let one = try Self.volume(.fat32, size: 36 << 20, cluster: 512)
        let two = try Self.volume(.fat32, size: 36 << 20, cluster: 512)
        #expect(one.structures == two.structures && one.contents == two.contents)
    }

    @Test("what a volume cannot hold is refused")
    func refused() {
        func error(_ files: [(String, UInt64)], size: UInt64 = 36 << 20, cluster: Int = 4096) -> FATError? {
            do {
                _ = try FATVolume(
                    .fat16, size: size, clusterSize: cluster, label: "X", serial: 0, hiddenSectors: 0,
                    files: files.map { .init(path: $0.0, size: $0.1) })
            } catch { return error }
            return nil
        }
        #expect(error([("a", 36 << 20)]) == .full)
        #expect(error([("a", 20 << 20), ("b", 20 << 20)]) == .full)
        #expect(error([("a", 1 << 32)]) == .fileTooLong("a"))
        #expect(error([("a", 1), ("A", 1)]) == .duplicate("A"))
        #expect(error([("a", 1), ("a/b", 1)]) == .duplicate("a/b"))
        for name in ["muchtoolong", "a.long", "a.b.c", "", "Mixed", "spa ce", "a.", ".a", "ü"] {
            #expect(error([(name, 1)]) == .name(name))
        }
        // Too few and too many clusters, not whole sectors, impossible clusters.
        for (size, cluster) in [
            (UInt64(1) << 20, 4096), (1 << 30, 512), (36 << 20 + 1, 4096), (36 << 20, 3000), (0, 512),
        ] {
            #expect(error([], size: size, cluster: cluster) == .impossibleSize)
        }
    }
}
