import BootMedium
import FAT
import Linux
import Signatures

/// The boot medium as a file: partition table, loader, the first bank. Layout: docs/formats/boot-environment.md.
struct DiskImage {
    /// A file on one of the medium's FAT volumes.
    struct VolumeFile {
        var path: String
        var bytes: [UInt8]
    }

    /// Something on the medium, for those who look into it from outside: a partition by its name, a file by its partition's name
    /// and its path.
    struct Place: Equatable {
        var name: String
        var offset: UInt64
        var length: UInt64
    }

    static let mebibyte: UInt64 = 1 << 20
    private static let sectorSize = GUIDPartitionTable.sectorSize
    /// Partitions begin here, in sectors: 1 MiB, as flash and disks like it.
    static let firstSector: UInt64 = 2048

    /// The partitions in their order. The order of GRUB's names for them (`gpt2`…`gpt4`) is also in Image/grub.cfg and `Loader`.
    private static let sizes: [(partition: BootPartition, size: UInt64)] = [
        (.loader, 2 * mebibyte),
        // FAT32, which every UEFI reads, has at least 65525 clusters: 33.5 MB.
        (.system, 36 * mebibyte),
        // An image of 32 MB fits.
        (.bankA, 36 * mebibyte),
        (.bankB, 36 * mebibyte),
        (.state, 16 * mebibyte),
    ]
    /// FAT16 takes 4085 clusters or more; large ones make the loader's way to a file's end short.
    private static let bankClusterSize = 4096

    private(set) var places: [Place] = []
    private var extents: [FATVolume.Extent] = []
    private let size: UInt64

    /// Where each partition lies, in bytes.
    static var partitions: [(partition: BootPartition, offset: UInt64, length: UInt64)] {
        var offset = firstSector * sectorSize
        return sizes.map { partition, size in
            defer { offset += size }
            return (partition, offset, size)
        }
    }

    init(loader: Loader, system: [VolumeFile], bank: [VolumeFile], identity: [UInt8]) throws(ImageError) {
        var partitions: [GUIDPartitionTable.Partition] = []
        var sectors = Self.firstSector
        for (partition, offset, length) in Self.partitions {
            partitions.append(
                .init(
                    name: partition.rawValue, type: Self.type(partition),
                    identifier: .init(hash: SHA256.digest(of: identity + Array(partition.rawValue.utf8))),
                    firstSector: offset / Self.sectorSize, sectors: length / Self.sectorSize))
            places.append(Place(name: partition.rawValue, offset: offset, length: length))
            sectors = (offset + length) / Self.sectorSize
        }
        sectors += Self.firstSector
        size = sectors * Self.sectorSize
        let table = GUIDPartitionTable(
            sectors: sectors, identifier: .init(hash: SHA256.digest(of: identity)), partitions: partitions)
        extents.append(.init(offset: 0, bytes: table.head(bootCode: loader.bios.bootCode)))
        extents.append(.init(offset: table.tailSector * Self.sectorSize, bytes: table.tail()))
        extents.append(.init(offset: Self.firstSector * Self.sectorSize, bytes: loader.bios.core))
        guard UInt64(loader.bios.core.count) <= places[0].length else {
            throw .loader("GRUB's core for BIOS is too long")
        }
        try add(system, on: places[1], .fat32, clusterSize: 512)
        try add(bank, on: places[2], .fat16, clusterSize: Self.bankClusterSize)
        try add([], on: places[3], .fat16, clusterSize: Self.bankClusterSize)
    }

    private static func type(_ partition: BootPartition) -> GUIDPartitionTable.Identifier {
        switch partition {
        case .loader: .biosBoot
        case .system: .efiSystem
        case .bankA, .bankB, .state: .linuxData
        }
    }

    private mutating func add(
        _ files: [VolumeFile], on partition: Place, _ format: FATVolume.Format, clusterSize: Int
    ) throws(ImageError) {
        let volume: FATVolume
        do {
            volume = try FATVolume(
                format, size: partition.length, clusterSize: clusterSize, label: partition.name,
                // Enough to tell one medium's volumes apart.
                serial: CRC32.checksum(Array(partition.name.utf8)),
                hiddenSectors: UInt32(partition.offset / Self.sectorSize),
                files: files.map { .init(path: $0.path, size: UInt64($0.bytes.count)) })
        } catch { throw .layout("\(partition.name): \(error)") }
        for extent in volume.structures {
            extents.append(.init(offset: partition.offset + extent.offset, bytes: extent.bytes))
        }
        for file in files {
            guard let offset = volume.contents[file.path] else { continue }
            extents.append(.init(offset: partition.offset + offset, bytes: file.bytes))
            places.append(
                Place(
                    name: "\(partition.name)/\(file.path)", offset: partition.offset + offset,
                    length: UInt64(file.bytes.count)))
        }
    }

    /// Writes the image. What is zero takes no space.
    func write(to path: String) throws(ImageError) {
        let temporary = "\(path).new"
        do throws(SystemError) {
            let file = try Descriptor(opening: temporary, [.writeOnly, .create, .truncate])
            for extent in extents { try file.write(extent.bytes, at: Int64(extent.offset), temporary) }
            try file.resize(to: Int64(size), temporary)
            try renameFile(temporary, path)
        } catch { throw .system(error) }
    }

    /// The places as tab-separated lines.
    var layoutText: String { places.map { "\($0.name)\t\($0.offset)\t\($0.length)\n" }.joined() }
}
