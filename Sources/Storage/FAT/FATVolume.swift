import Bytes

/// A FAT16 or FAT32 file system made whole for files whose names and sizes are known beforehand.
///
/// Every file lies in one piece, so that its content can be streamed to where it will stand. Nothing depends on time or chance: the
/// same files give the same bytes. Layout: Microsoft, "FAT: General Overview of On-Disk Format", version 1.03 ("fatgen103").
public struct FATVolume: Sendable {
    /// Which of the two formats.
    public enum Format: Sendable {
        case fat16
        case fat32
    }

    /// A file that the volume shall hold.
    public struct File: Sendable {
        /// Its path on the volume, such as `EFI/BOOT/BOOTX64.EFI`; each name at most 8 and 3 characters.
        public var path: String
        /// Its length in bytes.
        public var size: UInt64

        public init(path: String, size: UInt64) {
            self.path = path
            self.size = size
        }
    }

    /// Bytes and where on the volume they belong.
    public struct Extent: Equatable, Sendable {
        public var offset: UInt64
        public var bytes: [UInt8]

        public init(offset: UInt64, bytes: [UInt8]) {
            self.offset = offset
            self.bytes = bytes
        }
    }

    static let sectorSize = 512

    /// Everything but the files' contents: boot sectors, tables, directories. They cover all that must be written where
    /// something else stood before.
    public private(set) var structures: [Extent] = []
    /// Where each file's content belongs, in bytes from the start of the volume. What is left of a file's last cluster may be
    /// anything.
    public private(set) var contents: [String: UInt64] = [:]

    private let geometry: FATGeometry
    private var table: FATTable

    /// - Parameters:
    ///   - size: of the volume in bytes; a multiple of 512.
    ///   - clusterSize: in bytes, a power of two from 512 to 32768.
    ///   - label: at most 11 characters.
    ///   - serial: the volume's number.
    ///   - hiddenSectors: where on its disk the volume begins, in sectors.
    public init(
        _ format: Format, size: UInt64, clusterSize: Int, label: String, serial: UInt32, hiddenSectors: UInt32,
        files: [File]
    ) throws(FATError) {
        geometry = try FATGeometry(format, size: size, clusterSize: clusterSize)
        table = FATTable(geometry)
        let root = try FATDirectory(files)
        let volumeLabel = try FATDirectory.label(label)

        // A FAT32 root directory is a chain like any other and comes first; its entries are known once all is placed.
        let rootSize = (root.entryCount + 1) * FATDirectory.entrySize
        var rootCluster: UInt32 = 0
        switch format {
        case .fat16: guard rootSize <= geometry.rootSectors * Self.sectorSize else { throw .full }
        case .fat32: rootCluster = try table.allocate(UInt64(rootSize))
        }
        let entries = try place(root, at: "", cluster: 0, parent: nil)
        let bytes = volumeLabel + entries
        switch format {
        case .fat16:
            let padding = [UInt8](repeating: 0, count: geometry.rootSectors * Self.sectorSize - bytes.count)
            structures.append(Extent(offset: geometry.rootOffset, bytes: bytes + padding))
        case .fat32: structures.append(directoryExtent(bytes, rootCluster))
        }

        let boot = FATBootSector(
            geometry: geometry, label: volumeLabel.prefix(11), serial: serial, hiddenSectors: hiddenSectors,
            rootCluster: rootCluster)
        structures.append(
            Extent(offset: 0, bytes: boot.reservedArea(freeClusters: table.free, nextFree: table.next)))
        let fat = table.bytes
        for copy in 0..<FATGeometry.tableCount {
            structures.append(Extent(offset: geometry.tableOffset(copy), bytes: fat))
        }
        structures.sort { $0.offset < $1.offset }
    }

    /// Gives a directory's files and directories their places.
    ///
    /// - Parameters:
    ///   - cluster: the directory's own first cluster; zero for the root.
    ///   - parent: its parent's; nil for the root itself.
    /// - Returns: its entries' bytes.
    private mutating func place(_ directory: FATDirectory, at path: String, cluster: UInt32, parent: UInt32?)
        throws(FATError) -> [UInt8]
    {
        var bytes: [UInt8] = []
        if let parent {
            bytes += FATDirectory.entry(FATName.dot, isDirectory: true, cluster: cluster, size: 0)
            bytes += FATDirectory.entry(FATName.dotDot, isDirectory: true, cluster: parent, size: 0)
        }
        for child in directory.children {
            let childPath = path.isEmpty ? child.name : "\(path)/\(child.name)"
            switch child.node {
            case .file(let size):
                // An empty file has no cluster.
                let first = size == 0 ? 0 : try table.allocate(size)
                contents[childPath] = size == 0 ? 0 : geometry.offset(ofCluster: first)
                bytes += FATDirectory.entry(child.shortName, isDirectory: false, cluster: first, size: UInt32(size))
            case .directory(let inner):
                let first = try table.allocate(UInt64((inner.entryCount + 2) * FATDirectory.entrySize))
                let entries = try place(inner, at: childPath, cluster: first, parent: cluster)
                structures.append(directoryExtent(entries, first))
                bytes += FATDirectory.entry(child.shortName, isDirectory: true, cluster: first, size: 0)
            }
        }
        return bytes
    }

    /// A directory in clusters, filled up with zeros, which end it.
    private func directoryExtent(_ bytes: [UInt8], _ cluster: UInt32) -> Extent {
        let excess = bytes.count % geometry.clusterSize
        let padding = excess == 0 ? 0 : geometry.clusterSize - excess
        return Extent(
            offset: geometry.offset(ofCluster: cluster), bytes: bytes + [UInt8](repeating: 0, count: padding))
    }
}

/// Why a volume cannot be made.
public enum FATError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The size and the cluster size do not give a number of clusters that the format has.
    case impossibleSize
    /// The files do not fit.
    case full
    /// The name is longer than 8 and 3 characters, has other characters than letters, digits, `-` and `_`, or mixes small and
    /// capital letters.
    case name(String)
    /// Two files have one path, or a file is where a directory must be.
    case duplicate(String)
    /// The file is of 4 GiB or more.
    case fileTooLong(String)

    public var description: String {
        switch self {
        case .impossibleSize: "a FAT volume cannot have this size"
        case .full: "the files do not fit on the FAT volume"
        case .name(let name): "a FAT volume cannot hold a file named \(name)"
        case .duplicate(let path): "there are two files at \(path)"
        case .fileTooLong(let path): "\(path) is too long for a FAT volume"
        }
    }
}
