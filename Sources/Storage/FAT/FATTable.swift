import Bytes

/// The file allocation table: which cluster comes after which.
struct FATTable: Sendable {
    private let geometry: FATGeometry
    /// The entries in use, from the first.
    private var entries: [UInt32]

    init(_ geometry: FATGeometry) {
        self.geometry = geometry
        // The first two entries stand for no cluster: the medium (0xf8, a fixed disk), and flags that say "cleanly unmounted".
        entries = [0xffff_fff8, 0xffff_ffff]
    }

    /// The cluster that is free next.
    var next: UInt32 { UInt32(entries.count) }
    /// How many clusters are free.
    var free: UInt32 { UInt32(geometry.clusters) + 2 - next }

    /// Takes clusters one after another for so many bytes.
    ///
    /// - Returns: the first of them.
    mutating func allocate(_ size: UInt64) throws(FATError) -> UInt32 {
        let clusterSize = UInt64(geometry.clusterSize)
        let count = (size + clusterSize - 1) / clusterSize
        guard count <= UInt64(free) else { throw .full }
        let first = next
        for index in 0..<UInt32(count) {
            entries.append(index + 1 == UInt32(count) ? 0xffff_ffff : first + index + 1)
        }
        return first
    }

    /// One copy of the table, whole.
    var bytes: [UInt8] {
        var writer = ByteWriter()
        for entry in entries {
            switch geometry.format {
            case .fat16: writer.little(UInt16(truncatingIfNeeded: entry))
            // The upper four bits are not part of an entry.
            case .fat32: writer.little(entry & 0x0fff_ffff)
            }
        }
        writer.zeros(Int(geometry.sectorsPerTable) * FATVolume.sectorSize - writer.count)
        return writer.bytes
    }
}
