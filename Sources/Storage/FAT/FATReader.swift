public import BlockStore
import Bytes
public import Linux

/// Finds files on a FAT12, FAT16 or FAT32 file system that anybody may have made or broken. Reads only; where the bytes of a file lie
/// is public, so that they can be overwritten in place.
///
/// Names are compared by their form of 8 and 3 characters, in small or in capital letters. Layout: Microsoft, "FAT: General Overview of
/// On-Disk Format", version 1.03 ("fatgen103").
public struct FATReader {
    /// A stretch of the disk, in bytes.
    public struct Stretch: Equatable, Sendable {
        public var offset: UInt64
        public var count: UInt64
    }

    /// A file or directory.
    public struct Entry: Equatable, Sendable {
        public var isDirectory: Bool
        /// Bytes of a file.
        public var size: UInt32
        var cluster: UInt32
    }

    private enum Width { case bits12, bits16, bits32 }

    /// What one read fetches at most.
    private static let chunk: UInt64 = 1 << 20
    /// The longest directory (fatgen103, "FAT Directory Structure"): 65536 entries.
    private static let directoryMax: UInt64 = 65536 * 32

    private let store: any BlockStore
    private let width: Width
    private let clusterSize: UInt64
    private let tableOffset: UInt64
    private let rootOffset: UInt64
    private let rootSize: UInt64
    private let rootCluster: UInt32
    private let dataOffset: UInt64
    private let clusters: UInt64

    /// Reads the boot sector.
    public init(_ store: any BlockStore) throws(FATReadError) {
        self.store = store
        let boot: [UInt8]
        do { boot = try store.read(512, at: 0) } catch { throw .unreadable(error) }
        func little(_ offset: Int, _ count: Int) -> UInt64 {
            (0..<count).reduce(0) { $0 | UInt64(boot[offset + $1]) << UInt64(8 * $1) }
        }
        guard boot[510] == 0x55, boot[511] == 0xaa else { throw .noFileSystem }
        let sector = little(11, 2)
        let perCluster = little(13, 1)
        let reserved = little(14, 2)
        let tables = little(16, 1)
        let shortTotal = little(19, 2)
        let total = shortTotal != 0 ? shortTotal : little(32, 4)
        let shortTable = little(22, 2)
        let perTable = shortTable != 0 ? shortTable : little(36, 4)
        guard [512, 1024, 2048, 4096].contains(sector), perCluster.nonzeroBitCount == 1, reserved > 0,
            (1...2).contains(tables), perTable > 0
        else { throw .noFileSystem }
        // None of this overflows: 32-bit numbers times at most 2 × 4096.
        rootSize = little(17, 2) * 32
        let rootSectors = (rootSize + sector - 1) / sector
        let firstData = reserved + tables * perTable + rootSectors
        guard firstData < total, total * sector <= store.size else { throw .noFileSystem }
        clusters = (total - firstData) / perCluster
        clusterSize = perCluster * sector
        tableOffset = reserved * sector
        rootOffset = (reserved + tables * perTable) * sector
        dataOffset = firstData * sector
        // fatgen103, "FAT Type Determination".
        width = clusters < 4085 ? .bits12 : clusters < 65525 ? .bits16 : .bits32
        rootCluster = width == .bits32 ? UInt32(truncatingIfNeeded: little(44, 4)) : 0
        let bits: UInt64 =
            switch width {
            case .bits12: 12
            case .bits16: 16
            case .bits32: 32
            }
        guard ((clusters + 2) * bits + 7) / 8 <= perTable * sector, width == .bits32 || rootSize > 0 else {
            throw .noFileSystem
        }
    }

    /// The file or directory at a path such as `grub/grubenv`.
    public func entry(_ path: String) throws(FATReadError) -> Entry {
        var entry: Entry?
        for name in path.split(separator: "/") {
            if let entry, !entry.isDirectory { throw .notFound(path) }
            guard let wanted = (try? FATName(String(name)))?.characters else { throw .notFound(path) }
            guard let found = try find(wanted, in: entry, path) else { throw .notFound(path) }
            entry = found
        }
        guard let entry else { throw .notFound(path) }
        return entry
    }

    /// Where the bytes of a file lie, in order; together as many as it has.
    public func stretches(of entry: Entry, _ path: String) throws(FATReadError) -> [Stretch] {
        guard !entry.isDirectory else { throw .notFound(path) }
        return try chain(from: entry.cluster, count: UInt64(entry.size), isExact: true, path)
    }

    /// A file's bytes.
    ///
    /// - Parameter limit: a longer file is refused.
    public func contents(_ path: String, limit: Int) throws(FATReadError) -> [UInt8] {
        let entry = try entry(path)
        guard Int64(entry.size) <= Int64(limit) else { throw .damaged(path) }
        return try read(try stretches(of: entry, path))
    }

    private func find(_ name: [UInt8], in directory: Entry?, _ path: String) throws(FATReadError) -> Entry? {
        let stretches: [Stretch]
        if directory == nil, width != .bits32 {
            stretches = [Stretch(offset: rootOffset, count: rootSize)]
        } else {
            // A directory has no length: its chain is as long as it is.
            stretches = try chain(
                from: directory?.cluster ?? rootCluster, count: Self.directoryMax, isExact: false, path)
        }
        let bytes = try read(stretches)
        var offset = 0
        while offset + 32 <= bytes.count, bytes[offset] != 0 {
            let entry = bytes[offset..<offset + 32]
            offset += 32
            let attributes = entry[entry.startIndex + 11]
            // Free, part of a long name, or the volume's label.
            if entry.first == 0xe5 || attributes & 0x08 != 0 || !entry.prefix(11).elementsEqual(name) { continue }
            func little(_ place: Int, _ count: Int) -> UInt32 {
                (0..<count).reduce(0) { $0 | UInt32(entry[entry.startIndex + place + $1]) << UInt32(8 * $1) }
            }
            let high = width == .bits32 ? little(20, 2) << 16 : 0
            return Entry(isDirectory: attributes & 0x10 != 0, size: little(28, 4), cluster: high | little(26, 2))
        }
        return nil
    }

    /// The stretches of a chain of clusters, up to `count` bytes.
    private func chain(
        from first: UInt32, count: UInt64, isExact: Bool, _ path: String
    ) throws(FATReadError) -> [Stretch] {
        // Longer than the whole file system: the chain would have to go round.
        guard !isExact || count <= clusters * clusterSize else { throw .damaged(path) }
        var stretches: [Stretch] = []
        var left = min(count, clusters * clusterSize)
        var cluster = first
        var window = TableWindow()
        // A chain that goes round ends, too: `left` gets less with each cluster.
        while left > 0 {
            guard cluster >= 2, UInt64(cluster) - 2 < clusters else {
                if !isExact, isEnd(cluster), !stretches.isEmpty { break }
                throw .damaged(path)
            }
            let offset = dataOffset + UInt64(cluster - 2) * clusterSize
            let taken = min(left, clusterSize)
            if let last = stretches.last, last.offset + last.count == offset {
                stretches[stretches.count - 1].count += taken
            } else {
                stretches.append(Stretch(offset: offset, count: taken))
            }
            left -= taken
            if left > 0 { cluster = try next(cluster, &window) }
        }
        return stretches
    }

    /// Whether an entry of the table says that the chain ends (fatgen103, "FAT Data Structure").
    private func isEnd(_ entry: UInt32) -> Bool {
        switch width {
        case .bits12: entry >= 0xff8
        case .bits16: entry >= 0xfff8
        case .bits32: entry >= 0xfff_fff8
        }
    }

    /// A part of the table: one entry after the other is wanted, and each read of a disk takes its time.
    private struct TableWindow {
        static let size: UInt64 = 8192
        var start: UInt64 = 0
        var bytes: [UInt8] = []
    }

    private func next(_ cluster: UInt32, _ window: inout TableWindow) throws(FATReadError) -> UInt32 {
        let number = UInt64(cluster)
        let (offset, count): (UInt64, Int) =
            switch width {
            case .bits12: (tableOffset + number + number / 2, 2)
            case .bits16: (tableOffset + number * 2, 2)
            case .bits32: (tableOffset + number * 4, 4)
            }
        if offset < window.start || offset + UInt64(count) > window.start + UInt64(window.bytes.count) {
            // The table lies before the data, which lies inside: this much is there.
            let length = max(UInt64(count), min(TableWindow.size, dataOffset - min(offset, dataOffset)))
            window = TableWindow(start: offset, bytes: try read([Stretch(offset: offset, count: length)]))
        }
        let place = Int(offset - window.start)
        let bytes = window.bytes[place..<place + count]
        let value = bytes.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return switch width {
        case .bits12: cluster & 1 == 1 ? value >> 4 : value & 0xfff
        case .bits16: value
        case .bits32: value & 0x0fff_ffff
        }
    }

    private func read(_ stretches: [Stretch]) throws(FATReadError) -> [UInt8] {
        var bytes: [UInt8] = []
        do throws(SystemError) {
            for stretch in stretches {
                var done: UInt64 = 0
                while done < stretch.count {
                    let count = min(stretch.count - done, Self.chunk)
                    bytes += try store.read(Int(count), at: stretch.offset + done)
                    done += count
                }
            }
        } catch { throw .unreadable(error) }
        return bytes
    }
}

/// Why a file cannot be read.
public enum FATReadError: Error, Equatable, Sendable, CustomStringConvertible {
    case noFileSystem
    case notFound(String)
    case damaged(String)
    case unreadable(SystemError)

    public var description: String {
        switch self {
        case .noFileSystem: "there is no FAT file system"
        case .notFound(let path): "there is no file \(path)"
        case .damaged(let path): "the file system is damaged at \(path)"
        case .unreadable(let error): "\(error)"
        }
    }
}
