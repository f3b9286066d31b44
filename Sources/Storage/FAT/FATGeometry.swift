/// Where on a volume what lies.
struct FATGeometry: Sendable {
    static let tableCount = 2

    let format: FATVolume.Format
    /// The volume's size in sectors.
    let sectors: UInt64
    let sectorsPerCluster: UInt64
    /// Sectors before the first table.
    let reservedSectors: UInt64
    let sectorsPerTable: UInt64
    /// Sectors of a FAT16 root directory; none on FAT32.
    let rootSectors: Int
    /// How many clusters there are; the first has number 2.
    let clusters: UInt64

    init(_ format: FATVolume.Format, size: UInt64, clusterSize: Int) throws(FATError) {
        let sectorSize = UInt64(FATVolume.sectorSize)
        guard clusterSize >= FATVolume.sectorSize, clusterSize <= 32768, clusterSize.nonzeroBitCount == 1,
            size % sectorSize == 0, size / sectorSize <= UInt64(UInt32.max)
        else { throw .impossibleSize }
        self.format = format
        sectors = size / sectorSize
        sectorsPerCluster = UInt64(clusterSize) / sectorSize
        // Usual values (fatgen103, "Boot Sector and BPB"): 512 root entries on FAT16; room for the backup boot sector on FAT32.
        rootSectors = format == .fat16 ? 32 : 0
        let reserved: UInt64 = format == .fat16 ? 1 : 32
        let entrySize: UInt64 = format == .fat16 ? 2 : 4

        // The tables hold an entry for every cluster, and take room from the clusters: grow them until they do.
        var perTable: UInt64 = 1
        var count: UInt64 = 0
        while true {
            let used = reserved + UInt64(Self.tableCount) * perTable + UInt64(rootSectors)
            guard used < sectors else { throw .impossibleSize }
            count = (sectors - used) / sectorsPerCluster
            let needed = ((count + 2) * entrySize + sectorSize - 1) / sectorSize
            if needed <= perTable { break }
            perTable = needed
        }
        reservedSectors = reserved
        sectorsPerTable = perTable
        clusters = count
        // The number of clusters alone tells the formats apart (fatgen103, "FAT Type Determination").
        switch format {
        case .fat16: guard (4085..<65525).contains(count) else { throw .impossibleSize }
        case .fat32: guard (65525..<0x0fff_fff5).contains(count) else { throw .impossibleSize }
        }
    }

    var clusterSize: Int { Int(sectorsPerCluster) * FATVolume.sectorSize }

    func tableOffset(_ copy: Int) -> UInt64 {
        (reservedSectors + UInt64(copy) * sectorsPerTable) * UInt64(FATVolume.sectorSize)
    }

    /// Where a FAT16 root directory begins.
    var rootOffset: UInt64 { tableOffset(Self.tableCount) }

    func offset(ofCluster cluster: UInt32) -> UInt64 {
        rootOffset + (UInt64(rootSectors) + UInt64(cluster - 2) * sectorsPerCluster) * UInt64(FATVolume.sectorSize)
    }
}
