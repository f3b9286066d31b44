/// A piece of a disk: how long it is and what holds it. A disk is a list of them without gaps.
public struct DiskExtent: Sendable {
    /// What holds the bytes.
    public enum Source: Sendable {
        /// A range of a file, from `offset` in bytes on.
        case file(BlockFile, offset: UInt64)
        /// Nothing: reads give zeros, writes are refused.
        case zeros
    }

    /// Length in bytes; a multiple of the disk's logical block.
    public var count: UInt64
    public var source: Source
    /// Whether the guest may write here; extents of zeros cannot be written in any case.
    public var isWritable: Bool

    public init(count: UInt64, source: Source, isWritable: Bool = true) {
        self.count = count
        self.source = source
        self.isWritable = isWritable
    }

    /// All of a file. The last block may be incomplete in the file; what is missing reads as zeros.
    public static func whole(_ file: BlockFile, logicalBlock: UInt32 = 512) -> DiskExtent {
        let mask = UInt64(logicalBlock) - 1
        // A file's size is at most 2^63 - 1.
        return DiskExtent(count: (file.size &+ mask) & ~mask, source: .file(file, offset: 0))
    }
}

/// Why a list of extents is no disk.
public enum DiskLayoutError: Error, Equatable, Sendable, CustomStringConvertible {
    case empty
    case tooManyExtents(Int)
    /// An extent whose length or offset is zero or not made of whole blocks.
    case unaligned(extent: Int)
    case tooLarge
    /// A file that is shorter than its extents say.
    case fileTooShort(name: String, size: UInt64, needed: UInt64)
    /// A writable disk on a file that was opened read-only.
    case fileReadOnly(name: String)

    public var description: String {
        switch self {
        case .empty: "the disk has no extents"
        case .tooManyExtents(let count): "the disk has \(count) extents; at most \(DiskLayout.extentsMax) are supported"
        case .unaligned(let extent): "extent \(extent) of the disk is not made of whole blocks"
        case .tooLarge: "the disk is larger than 2^63 bytes"
        case .fileTooShort(let name, let size, let needed):
            "\(name) has \(size) bytes, but the disk needs \(needed): it is cut off"
        case .fileReadOnly(let name): "\(name) is open for reading only, but the disk is writable"
        }
    }
}

/// The extents of a disk, checked and in the form that queues look them up in.
struct DiskLayout: Sendable {
    static let extentsMax = 8192

    /// One extent: `[start, end)` of the disk, in bytes.
    struct Entry: BitwiseCopyable, Sendable {
        var start: UInt64
        var end: UInt64
        /// Index into `files`, or -1 for zeros.
        var file: Int32
        var isWritable: Bool
        /// Where the extent begins in the file.
        var fileOffset: UInt64
    }

    let entries: [Entry]
    let files: [BlockFile]
    /// Size of the disk in bytes.
    var capacity: UInt64 { entries.last?.end ?? 0 }

    init(_ extents: [DiskExtent], logicalBlock: UInt32, writable: Bool) throws(DiskLayoutError) {
        guard !extents.isEmpty else { throw .empty }
        guard extents.count <= Self.extentsMax else { throw .tooManyExtents(extents.count) }
        let mask = UInt64(logicalBlock) - 1
        var entries: [Entry] = []
        var files: [BlockFile] = []
        var start: UInt64 = 0
        for (index, extent) in extents.enumerated() {
            let (end, overflow) = start.addingReportingOverflow(extent.count)
            guard !overflow, end <= UInt64(Int64.max) else { throw .tooLarge }
            guard extent.count > 0, extent.count & mask == 0 else { throw .unaligned(extent: index) }
            var entry = Entry(start: start, end: end, file: -1, isWritable: false, fileOffset: 0)
            if case .file(let file, let offset) = extent.source {
                guard offset & 511 == 0 else { throw .unaligned(extent: index) }
                let (needed, overflow) = offset.addingReportingOverflow(extent.count)
                guard !overflow, needed <= UInt64(Int64.max) else { throw .tooLarge }
                // The last block of a file may be incomplete. A device is what it is.
                let available = file.isBlockDevice ? file.size : (file.size &+ mask) & ~mask
                guard needed <= available else {
                    throw .fileTooShort(name: file.name, size: file.size, needed: needed)
                }
                entry.isWritable = writable && extent.isWritable
                guard !entry.isWritable || file.isWritable else { throw .fileReadOnly(name: file.name) }
                let known = files.firstIndex { $0 === file }
                if known == nil { files.append(file) }
                entry.file = Int32(known ?? files.count - 1)
                entry.fileOffset = offset
            }
            entries.append(entry)
            start = end
        }
        self.entries = entries
        self.files = files
    }
}
