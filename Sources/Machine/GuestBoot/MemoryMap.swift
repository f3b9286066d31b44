public import GuestMemory

/// One range of the physical memory map that a kernel is told (ACPI 6.5, 15.1, "e820").
public struct MemoryMapEntry: Equatable, Sendable {
    /// What the range is, with the numbers that the firmware interfaces use.
    public enum Kind: UInt32, Sendable {
        case ram = 1
        case reserved = 2
        case acpiTables = 3
        case acpiNonVolatile = 4
    }

    public var start: GuestAddress
    /// Length in bytes.
    public var count: UInt64
    public var kind: Kind

    public init(start: GuestAddress, count: UInt64, kind: Kind) {
        self.start = start
        self.count = count
        self.kind = kind
    }

    /// First address past it; the last address of all if it would not fit.
    var end: GuestAddress {
        let (end, overflow) = start.addingReportingOverflow(count)
        return overflow ? .max : end
    }
}

/// The physical memory map of a machine, in order of address.
struct MemoryMap: Equatable, Sendable {
    private(set) var entries: [MemoryMapEntry]

    /// RAM without the legacy hole and without what is reserved, and the reserved ranges themselves.
    ///
    /// - Parameter reserved: ranges besides the legacy ones; where one lies in RAM it is cut out of it.
    init(ram regions: [GuestMemoryRegion], reserved: [MemoryMapEntry]) {
        let hole = MemoryMapEntry(start: LowMemory.end, count: 0x10_0000 - LowMemory.end, kind: .reserved)
        let reserved = reserved.filter { $0.count > 0 && $0.kind != .ram }
        var ram = regions.map { MemoryMapEntry(start: $0.start, count: UInt64($0.count), kind: .ram) }
        for cut in reserved + [hole] {
            ram = ram.flatMap { MemoryMap.subtract(cut, from: $0) }
        }
        // The VGA window A0000-DFFFF is neither: a map that leaves it out says that nothing is known of it.
        let legacy = [
            MemoryMapEntry(start: LowMemory.end, count: 0xa_0000 - LowMemory.end, kind: .reserved),
            MemoryMapEntry(start: 0xe_0000, count: 0x2_0000, kind: .reserved),
        ]
        entries = (ram + legacy + reserved).sorted { $0.start < $1.start }
    }

    private static func subtract(_ cut: MemoryMapEntry, from entry: MemoryMapEntry) -> [MemoryMapEntry] {
        guard cut.start < entry.end, cut.end > entry.start else { return [entry] }
        var rest: [MemoryMapEntry] = []
        if entry.start < cut.start {
            rest.append(MemoryMapEntry(start: entry.start, count: cut.start - entry.start, kind: entry.kind))
        }
        if cut.end < entry.end {
            rest.append(MemoryMapEntry(start: cut.end, count: entry.end - cut.end, kind: entry.kind))
        }
        return rest
    }

    /// RAM that images may be loaded into: from 1 MiB to 4 GiB.
    var loadable: [Range<GuestAddress>] {
        entries.compactMap { entry in
            guard entry.kind == .ram else { return nil }
            let start = max(entry.start, 0x10_0000)
            let end = min(entry.end, 1 << 32)
            return start < end ? start..<end : nil
        }
    }

    /// The lowest place at or above `minimum` for `count` bytes.
    ///
    /// - Parameter alignment: a power of two.
    func lowestPlace(count: UInt64, from minimum: GuestAddress, alignment: UInt64) -> GuestAddress? {
        for range in loadable {
            let start = max(range.lowerBound, minimum)
            let (raised, overflow) = start.addingReportingOverflow(alignment - 1)
            if overflow { return nil }
            let place = raised & ~(alignment - 1)
            if place < range.upperBound, count <= range.upperBound - place { return place }
        }
        return nil
    }

    /// The highest place for `count` bytes between two addresses, at the start of a page.
    func highestPlace(count: UInt64, from minimum: GuestAddress, below limit: GuestAddress) -> GuestAddress? {
        for range in loadable.reversed() {
            let start = max(range.lowerBound, minimum)
            let end = min(range.upperBound, limit)
            guard start < end, count <= end - start else { continue }
            let place = (end - count) & ~4095
            if place >= start { return place }
        }
        return nil
    }

    /// Whether `count` bytes from `start` are loadable RAM in one piece.
    func isLoadable(_ start: GuestAddress, count: UInt64) -> Bool {
        loadable.contains { $0.lowerBound <= start && start < $0.upperBound && count <= $0.upperBound - start }
    }
}

/// Where what a kernel needs at its start is put below 640 KiB. Kernels treat it as free once they have read it.
enum LowMemory {
    static let descriptorTable: GuestAddress = 0x500
    static let startInfo: GuestAddress = 0x1000
    static let bootParameters: GuestAddress = 0x7000
    /// Grows down from here.
    static let stackTop: GuestAddress = 0x9000
    /// Six pages.
    static let pageTables: GuestAddress = 0x9000
    static let commandLine: GuestAddress = 0x2_0000
    static let commandLineCountMax = 0x1_0000
    /// The PVH memory map: 24 bytes an entry.
    static let pvhMemoryMap: GuestAddress = 0x2000
    /// Where the extended BIOS data area would begin.
    static let end: GuestAddress = 0x9_fc00
}
