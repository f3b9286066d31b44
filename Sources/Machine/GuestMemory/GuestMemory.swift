public import Linux

/// A piece of guest RAM: where the guest sees it and which bytes of the backing file it is.
public struct GuestMemoryRegion: Sendable, Equatable {
    /// Guest physical address of the first byte; a multiple of 4 KiB.
    public var start: GuestAddress
    /// Length in bytes; a multiple of 4 KiB.
    public var count: Int
    /// Where it begins in the backing file, in bytes.
    public var fileOffset: Int

    public init(start: GuestAddress, count: Int, fileOffset: Int) {
        self.start = start
        self.count = count
        self.fileOffset = fileOffset
    }

    /// First address past it.
    public var end: GuestAddress { start + UInt64(count) }
}

/// Owns the guest's RAM: one memfd that holds all of it, mapped once.
///
/// A memfd, so that it can be handed to helpers (vhost-user, a migration process) and never touches a disk.
public final class GuestMemory: Sendable {
    /// Where RAM stops below 4 GiB, to leave room for ECAM, PCI windows and fixed devices.
    public static let lowRAMEnd: GuestAddress = 0x8000_0000
    /// Where RAM goes on above the hole.
    public static let highRAMStart: GuestAddress = 0x1_0000_0000

    /// The pieces in order of address.
    public let regions: [GuestMemoryRegion]
    /// Sum of all pieces in bytes.
    public let count: Int
    /// The access handle that devices copy.
    public let ram: GuestRAM
    private let file: Descriptor
    private let mapping: Mapping

    /// Allocates `count` bytes of RAM, split at the PCI hole.
    ///
    /// - Parameter hugePages: back it with huge pages of 2 MiB; fails when the host has too few reserved.
    public init(count: Int, hugePages: Bool = false) throws(SystemError) {
        precondition(count > 0 && count % 4096 == 0, "guest memory comes in pages of 4 KiB")
        let low = min(count, Int(Self.lowRAMEnd))
        var regions = [GuestMemoryRegion(start: 0, count: low, fileOffset: 0)]
        if count > low {
            regions.append(GuestMemoryRegion(start: Self.highRAMStart, count: count - low, fileOffset: low))
        }
        self.regions = regions
        self.count = count
        file = try Descriptor.memoryFile("guest-ram", count: count, hugePages: hugePages)
        mapping = try Mapping(sharing: file.raw, count: count, "guest memory of \(count >> 20) MiB")
        mapping.excludeFromDumps()
        // A guest that boots touches most of its memory once, and pays for each new page with an exit.
        if !hugePages { mapping.preferHugePages() }
        let base = unsafe mapping.base
        ram = unsafe GuestRAM(
            regions: regions.map { (start: $0.start, count: $0.count, host: unsafe base + $0.fileOffset) },
            dirtyLog: DirtyLog(pages: count / 4096))
    }

    deinit { ram.dirtyLog.destroy() }

    /// The memfd's number, borrowed.
    public var descriptor: CInt { file.raw }

    /// The host address of a region's first byte. Valid as long as this object lives.
    @unsafe public func host(of region: GuestMemoryRegion) -> UnsafeMutableRawPointer {
        unsafe mapping.base + region.fileOffset
    }

    /// Gives whole pages back to the host; the guest reads zeros there from then on. Parts outside RAM and the ragged
    /// ends are left alone.
    ///
    /// - Returns: how many bytes were given back.
    @discardableResult
    public func discard(_ address: GuestAddress, count: Int) -> Int {
        guard count > 0, ram.contains(address, count: count) else { return 0 }
        let first = (address + 4095) & ~4095
        let end = (address + UInt64(count)) & ~4095
        guard first < end, let region = regions.first(where: { $0.start <= first && end <= $0.end }) else { return 0 }
        let length = Int(end - first)
        do {
            try file.punchHole(offset: region.fileOffset + Int(first - region.start), count: length)
        } catch {
            return 0
        }
        ram.markDirty(first, count: length)
        return length
    }

    /// The next stretch of the backing file, from `offset` on, that was ever touched; the rest reads as zeros. Nil if nothing follows.
    public func nextTouched(from offset: Int) -> Range<Int>? { file.nextData(from: offset, size: count) }

    // MARK: Pages the host wrote

    /// Starts or stops noting which pages the host writes.
    public func trackHostWrites(_ on: Bool) { ram.dirtyLog.setTracking(on) }

    /// Takes and clears the bits of 64 pages; page 0 is the first page of the backing file.
    public func takeHostWrites(word: Int) -> UInt64 { ram.dirtyLog.take(word: word) }
}
