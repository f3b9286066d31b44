import CLinux

/// How the guest may use a stretch of memory, and what KVM notes about it.
public struct MemoryFlags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// KVM notes which pages the guest writes.
    public static let logDirty = MemoryFlags(rawValue: UInt32(KVM_MEM_LOG_DIRTY_PAGES))
    /// The guest can read and execute; its writes exit as MMIO.
    public static let readOnly = MemoryFlags(rawValue: UInt32(KVM_MEM_READONLY))
}

/// One stretch of guest memory as KVM knows it.
public struct MemorySlot: Hashable, Sendable {
    /// KVM's number for it.
    public let id: UInt32
    /// Where the guest sees it.
    public let address: UInt64
    /// Bytes.
    public let size: UInt64
    /// Where it lies in this process.
    public let host: UInt
    public internal(set) var flags: MemoryFlags

    /// The first address behind it. Never wraps: `MemorySlots` takes no stretch that ends at 2^64.
    public var end: UInt64 { address + size }
    /// Pages of 4 KiB.
    public var pages: Int { Int(size / MemorySlots.pageSize) }
    /// 64-bit words that its dirty bitmap needs.
    public var dirtyWords: Int { (pages + 63) / 64 }
}

/// Which memory slots are in use, and the arithmetic that keeps them sound. Knows nothing of KVM calls.
struct MemorySlots: Sendable {
    static let pageSize: UInt64 = 4096
    /// KVM_MEM_MAX_NR_PAGES.
    private static let pagesMax: UInt64 = (1 << 31) - 1

    /// Slots in use, by guest address.
    private(set) var slots: [MemorySlot] = []
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    /// Finds room for a stretch of memory without taking it.
    func plan(address: UInt64, size: UInt64, host: UInt, flags: MemoryFlags) throws(KVMError) -> MemorySlot {
        let mask = Self.pageSize - 1
        let (_, wraps) = address.addingReportingOverflow(size)
        let (_, hostWraps) = UInt64(host).addingReportingOverflow(size)
        guard size > 0, (address | size | UInt64(host)) & mask == 0, !wraps, !hostWraps,
            size / Self.pageSize <= Self.pagesMax
        else { throw .badMemoryRange(address: address, size: size) }
        if let other = slots.first(where: { address < $0.end && $0.address < address + size }) {
            throw .memoryOverlap(address: address, size: size, other: other.address)
        }
        guard slots.count < limit else { throw .noFreeSlot(limit: limit) }
        let used = Set(slots.map(\.id))
        // One of the first count + 1 numbers is free.
        guard let id = (0...UInt32(slots.count)).first(where: { !used.contains($0) }) else {
            throw .noFreeSlot(limit: limit)
        }
        return MemorySlot(id: id, address: address, size: size, host: host, flags: flags)
    }

    /// Takes a planned slot.
    mutating func insert(_ slot: MemorySlot) {
        let position = slots.firstIndex { $0.address > slot.address } ?? slots.count
        slots.insert(slot, at: position)
    }

    func find(_ id: UInt32) throws(KVMError) -> MemorySlot {
        guard let slot = slots.first(where: { $0.id == id }) else { throw .unknownSlot(id) }
        return slot
    }

    mutating func setFlags(_ flags: MemoryFlags, of id: UInt32) {
        guard let position = slots.firstIndex(where: { $0.id == id }) else { return }
        slots[position].flags = flags
    }

    mutating func remove(_ id: UInt32) { slots.removeAll { $0.id == id } }
}
