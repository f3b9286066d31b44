import Bytes

/// The boot sector and what else stands before the first table (fatgen103, "Boot Sector and BPB", "FAT32 FSInfo Sector Structure").
struct FATBootSector {
    var geometry: FATGeometry
    /// 11 characters.
    var label: ArraySlice<UInt8>
    var serial: UInt32
    var hiddenSectors: UInt32
    /// The root directory's first cluster; FAT32 only.
    var rootCluster: UInt32

    private static let informationSector: UInt16 = 1
    private static let backupSector: UInt16 = 6

    /// All reserved sectors.
    func reservedArea(freeClusters: UInt32, nextFree: UInt32) -> [UInt8] {
        var writer = ByteWriter()
        let boot = bootSector
        writer.append(boot)
        if geometry.format == .fat32 {
            let information = Self.information(freeClusters, nextFree)
            writer.append(information)
            writer.zeros(Int(Self.backupSector) * FATVolume.sectorSize - writer.count)
            writer.append(boot)
            writer.append(information)
        }
        writer.zeros(Int(geometry.reservedSectors) * FATVolume.sectorSize - writer.count)
        return writer.bytes
    }

    private var bootSector: [UInt8] {
        let isFAT16 = geometry.format == .fat16
        var writer = ByteWriter()
        // A jump over the parameters to code that ends in a halt: nobody boots this sector.
        writer.append([0xeb, isFAT16 ? 0x3c : 0x58, 0x90])
        writer.text("WAFER", width: 8, fill: UInt8(ascii: " "))
        writer.little(UInt16(FATVolume.sectorSize))
        writer.little(UInt8(geometry.sectorsPerCluster))
        writer.little(UInt16(geometry.reservedSectors))
        writer.little(UInt8(FATGeometry.tableCount))
        writer.little(UInt16(geometry.rootSectors * FATVolume.sectorSize / FATDirectory.entrySize))
        writer.little(isFAT16 ? UInt16(exactly: geometry.sectors) ?? 0 : 0)
        writer.little(UInt8(0xf8))  // a fixed disk
        writer.little(isFAT16 ? UInt16(geometry.sectorsPerTable) : 0)
        writer.little(UInt16(63))  // sectors a track, heads: what BIOSes make up for any disk
        writer.little(UInt16(255))
        writer.little(hiddenSectors)
        let isShort = isFAT16 && UInt16(exactly: geometry.sectors) != nil
        writer.little(isShort ? 0 : UInt32(geometry.sectors))
        if !isFAT16 {
            writer.little(UInt32(geometry.sectorsPerTable))
            writer.little(UInt16(0))  // both tables are kept alike
            writer.little(UInt16(0))  // version 0.0
            writer.little(rootCluster)
            writer.little(Self.informationSector)
            writer.little(Self.backupSector)
            writer.zeros(12)
        }
        writer.little(UInt8(0x80))  // the BIOS's number of the disk
        writer.zeros(1)
        writer.little(UInt8(0x29))  // the next three fields are there
        writer.little(serial)
        writer.append(label)
        writer.text(isFAT16 ? "FAT16" : "FAT32", width: 8, fill: UInt8(ascii: " "))
        writer.append([0xf4, 0xeb, 0xfd])  // hlt; jmp back to it
        writer.zeros(510 - writer.count)
        writer.append([0x55, 0xaa])
        return writer.bytes
    }

    private static func information(_ free: UInt32, _ next: UInt32) -> [UInt8] {
        var writer = ByteWriter()
        writer.little(UInt32(0x4161_5252))
        writer.zeros(480)
        writer.little(UInt32(0x6141_7272))
        writer.little(free)
        writer.little(next)
        writer.zeros(12)
        writer.little(UInt32(0xaa55_0000))
        return writer.bytes
    }
}
