public import Linux

/// Guest memory as a stream of saved state sees it: pieces of whole pages, by number of their first page.
@safe public struct StateMemory: @unchecked Sendable {
    // @unchecked: the memory is shared with a guest anyway; who uses this keeps the guest still.

    @safe struct Region {
        var firstPage: UInt64
        var pages: Int
        var base: UnsafeMutableRawPointer
    }

    private(set) var regions: [Region] = []

    public init() {}

    /// Adds a piece. It stays mapped as long as this value is used.
    ///
    /// - Parameters:
    ///   - address: where the guest sees it; a multiple of 4 KiB, like `count`.
    @unsafe public mutating func add(_ address: UInt64, _ base: UnsafeMutableRawPointer, count: Int) {
        unsafe regions.append(Region(firstPage: address >> 12, pages: count >> 12, base: base))
    }

    /// Where pages are; nil unless all lie in one piece.
    @unsafe func pointer(_ firstPage: UInt64, _ pages: Int) -> UnsafeMutableRawPointer? {
        for region in regions {
            let (offset, before) = firstPage.subtractingReportingOverflow(region.firstPage)
            guard !before, offset < UInt64(region.pages), pages <= region.pages - Int(offset) else { continue }
            return unsafe region.base + Int(offset) * StateFormat.page
        }
        return nil
    }

    /// Whether a page holds nothing but zeros.
    @unsafe static func isZero(_ page: UnsafeRawPointer) -> Bool {
        var offset = 0
        while offset < StateFormat.page {
            var bits: UInt64 = 0
            for word in 0..<8 { unsafe bits |= page.load(fromByteOffset: offset &+ 8 &* word, as: UInt64.self) }
            if bits != 0 { return false }
            offset &+= 64
        }
        return true
    }
}

/// Where a stream of saved state goes: a file, or a connection to the host that the machine moves to.
public protocol StateSink: AnyObject {
    /// Takes all the bytes, in order. Every stretch begins at a multiple of 4 KiB in memory and is whole pages long.
    ///
    /// - Parameter pieces: at most 256; may be changed.
    @unsafe func write(_ pieces: UnsafeMutableBufferPointer<IOVector>) throws(StateError)
}

/// Where a stream of saved state comes from.
public protocol StateSource: AnyObject {
    /// Fills the stretches with the next bytes; fewer if there are no more.
    ///
    /// - Parameter pieces: at most 256; may be changed.
    /// - Returns: how many bytes there were.
    @unsafe func read(_ pieces: UnsafeMutableBufferPointer<IOVector>) throws(StateError) -> Int
}
