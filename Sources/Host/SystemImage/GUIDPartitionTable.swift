import Bytes

/// A disk with a GUID partition table (UEFI specification 2.10, section 5).
struct GUIDPartitionTable {
    /// A globally unique identifier as it stands on disk: the first three fields little-endian (UEFI, appendix A).
    struct Identifier: Equatable {
        var bytes: [UInt8]

        /// - Parameter digits: 32 hexadecimal digits as they are printed, without hyphens.
        private init(_ high: UInt64, _ low: UInt64) {
            var writer = ByteWriter()
            writer.little(UInt32(truncatingIfNeeded: high >> 32))
            writer.little(UInt16(truncatingIfNeeded: high >> 16))
            writer.little(UInt16(truncatingIfNeeded: high))
            writer.big(low)
            bytes = writer.bytes
        }

        /// One made of a hash: version 8, "custom" (RFC 9562, section 5.8), so that it is the same each time.
        init(hash: [UInt8]) {
            precondition(hash.count >= 16, "a hash has 16 bytes or more")
            bytes = Array(hash.prefix(16))
            bytes[7] = bytes[7] & 0x0f | 0x80
            bytes[8] = bytes[8] & 0x3f | 0x80
        }

        static let unused = Identifier(0, 0)
        /// What each kind of partition is for (UEFI, table 5.7; GRUB manual, "BIOS installation"; Discoverable Partitions).
        static let efiSystem = Identifier(0xc12a_7328_f81f_11d2, 0xba4b_00a0_c93e_c93b)
        static let biosBoot = Identifier(0x2168_6148_6449_6e6f, 0x744e_6565_6445_4649)
        static let linuxData = Identifier(0x0fc6_3daf_8483_4772, 0x8e79_3d69_d847_7de4)
    }

    struct Partition {
        var name: String
        var type: Identifier
        var identifier: Identifier
        var firstSector: UInt64
        var sectors: UInt64
    }

    static let sectorSize: UInt64 = 512
    private static let entryCount = 128
    private static let entrySize = 128
    /// Sectors that the entries take, and with the header before or behind them what is lost at each end.
    private static let entrySectors: UInt64 = 32

    /// The disk's size in sectors.
    var sectors: UInt64
    var identifier: Identifier
    var partitions: [Partition]

    /// What stands in the first sectors: the boot code, a partition table for programs that know no GPT, the header, the entries.
    ///
    /// - Parameter bootCode: at most 440 bytes.
    func head(bootCode: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.append(bootCode)
        writer.zeros(446 - bootCode.count)
        // One partition of type "GPT protective" over the whole disk (UEFI, section 5.2.3).
        writer.append([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff])
        writer.little(UInt32(1))
        writer.little(UInt32(clamping: sectors - 1))
        writer.zeros(48)
        writer.append([0x55, 0xaa])
        writer.append(header(own: 1, other: sectors - 1, entries: 2))
        writer.append(entries)
        return writer.bytes
    }

    /// What stands in the disk's last sectors, from `tailSector` on.
    func tail() -> [UInt8] {
        entries + header(own: sectors - 1, other: 1, entries: tailSector)
    }

    var tailSector: UInt64 { sectors - 1 - Self.entrySectors }

    private var entries: [UInt8] {
        precondition(partitions.count <= Self.entryCount, "more partitions than entries")
        var writer = ByteWriter()
        for partition in partitions {
            writer.append(partition.type.bytes)
            writer.append(partition.identifier.bytes)
            writer.little(partition.firstSector)
            writer.little(partition.firstSector + partition.sectors - 1)
            writer.little(UInt64(0))
            let start = writer.count
            for unit in partition.name.utf16.prefix(36) { writer.little(unit) }
            writer.zeros(72 - (writer.count - start))
        }
        writer.zeros(Self.entryCount * Self.entrySize - writer.count)
        return writer.bytes
    }

    private func header(own: UInt64, other: UInt64, entries first: UInt64) -> [UInt8] {
        var writer = ByteWriter()
        writer.append(Array("EFI PART".utf8))
        writer.little(UInt32(0x0001_0000))
        writer.little(UInt32(92))
        let checksum = writer.count
        writer.little(UInt32(0))
        writer.little(UInt32(0))
        writer.little(own)
        writer.little(other)
        writer.little(2 + Self.entrySectors)
        writer.little(tailSector - 1)
        writer.append(identifier.bytes)
        writer.little(first)
        writer.little(UInt32(Self.entryCount))
        writer.little(UInt32(Self.entrySize))
        writer.little(CRC32.checksum(entries))
        writer.patch(at: checksum, little: CRC32.checksum(writer.bytes))
        writer.zeros(Int(Self.sectorSize) - writer.count)
        return writer.bytes
    }
}
