import Synchronization

/// One thread's own copy of an address space, for looking up without locks, allocation or reference counting.
///
/// Not thread-safe: every vCPU thread has its own. It keeps the devices in it alive until it is renewed: at the next
/// access after a change, or by `refresh`.
@safe public final class BusView {
    @safe struct Slot {
        var start: UInt64
        var last: UInt64
        var region: Int
        /// Owned by `owners`, which change only when all slots do.
        let device: Unmanaged<BusDevice>
    }

    private let space: AddressSpace
    private var generation: UInt64 = 0
    /// Owns the devices that `slots` points to.
    private var owners: [AddressSpace.Entry] = []
    private var slots: UnsafeMutablePointer<Slot>
    private var count = 0
    private var hit = 0

    public init(_ space: AddressSpace) {
        self.space = space
        unsafe slots = .allocate(capacity: 1)
    }

    deinit { unsafe slots.deallocate() }

    /// Reads from whoever answers at `address`; all ones if nobody does.
    @inline(__always)
    public func read(_ address: UInt64, width: Int) -> UInt64 {
        guard let index = find(address, width: width) else { return allOnes(width: width) }
        let slot = unsafe slots + index
        return unsafe slot.pointee.device._withUnsafeGuaranteedRef {
            unsafe $0.read(region: slot.pointee.region, offset: address &- slot.pointee.start, width: width)
        }
    }

    /// Writes to whoever answers at `address`.
    ///
    /// - Returns: false if nobody does.
    @inline(__always) @discardableResult
    public func write(_ address: UInt64, width: Int, value: UInt64) -> Bool {
        guard let index = find(address, width: width) else { return false }
        let slot = unsafe slots + index
        unsafe slot.pointee.device._withUnsafeGuaranteedRef {
            unsafe $0.write(
                region: slot.pointee.region, offset: address &- slot.pointee.start, width: width, value: value)
        }
        return true
    }

    /// Lets go of devices that are not mapped any more, without waiting for an access.
    public func refresh() {
        if space.generation.load(ordering: .acquiring) != generation { renew() }
    }

    /// The slot that holds `width` bytes at `address`.
    @inline(__always)
    private func find(_ address: UInt64, width: Int) -> Int? {
        if space.generation.load(ordering: .acquiring) != generation { renew() }
        let (end, overflow) = address.addingReportingOverflow(UInt64(truncatingIfNeeded: width) &- 1)
        if overflow { return nil }
        // Guests touch the same register in a row: try the last hit first.
        if hit < count, unsafe slots[hit].start <= address, unsafe end <= slots[hit].last { return hit }
        var low = 0
        var high = count
        while low < high {
            let middle = (low &+ high) >> 1
            if unsafe slots[middle].last < address { low = middle &+ 1 } else { high = middle }
        }
        guard low < count, unsafe slots[low].start <= address, unsafe end <= slots[low].last else { return nil }
        hit = low
        return low
    }

    @inline(never)
    private func renew() {
        let current = space.current()
        let fresh = UnsafeMutablePointer<Slot>.allocate(capacity: max(current.entries.count, 1))
        for (index, entry) in current.entries.enumerated() {
            let slot = unsafe Slot(
                start: entry.start, last: entry.last, region: entry.region, device: .passUnretained(entry.device))
            unsafe (fresh + index).initialize(to: slot)
        }
        unsafe slots.deallocate()
        unsafe slots = fresh
        count = current.entries.count
        owners = current.entries
        generation = current.generation
        hit = 0
    }
}
