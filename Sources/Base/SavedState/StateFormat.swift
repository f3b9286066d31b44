/// The layout of saved state: `docs/formats/saved-state.md`. Numbers are little-endian, and everything begins at a multiple of a page.
enum StateFormat {
    /// The version of the layout, not of what the sections hold.
    static let version: UInt32 = 1
    static let magic = Array("WAFERVMS".utf8)
    static let page = 4096
    /// Bytes of a record's head.
    static let headSize = 64

    enum Kind: UInt32 {
        case sections = 1
        case pages = 2
        case end = 3
    }

    enum Limit {
        /// Bytes of a record of sections.
        static let sectionBytes = 64 << 20
        static let sections = 4096
        static let nameBytes = 255
        /// Pages of data in one record.
        static let pages = 1024
        /// Runs that fit into the first page of a record.
        static let runs = (page - headSize - runsOffset) / runSize
    }

    /// Where the runs begin after the head: behind their count and four bytes of nothing.
    static let runsOffset = 8
    static let runSize = 16
    /// What follows for a run.
    enum Content {
        static let data: UInt32 = 0
        static let zeros: UInt32 = 1
    }

    static func padded(_ count: Int) -> Int { (count + page - 1) & ~(page - 1) }
}

/// The head of a record.
struct StateRecordHead {
    var kind: UInt32 = 0
    /// CRC-32C of the whole record with this field zero.
    var checksum: UInt32 = 0
    /// Bytes after the head, without those that fill up the last page.
    var count: UInt64 = 0
    /// The record's number in its stream.
    var number: UInt64 = 0
    /// The stream's own number: what an older stream left in the same file is not taken for this one's.
    var stream: UInt64 = 0
}

extension StateRecordHead: FieldCoded {
    mutating func code(_ coder: inout FieldCoder) {
        coder.field(&kind)
        coder.field(&checksum)
        coder.field(&count)
        coder.field(&number)
        coder.field(&stream)
    }
}
