import CLinux
public import Linux
import Synchronization

/// The machine's memory slots, with what keeps their memory mapped.
struct MemoryMap: Sendable {
    var slots: MemorySlots
    /// Mappings held until their slot is removed.
    var owners: [UInt32: Mapping] = [:]
}

extension VirtualMachine {
    /// Shows a part of a mapping to the guest. The mapping is kept until the slot is removed.
    ///
    /// - Parameters:
    ///   - address: where the guest sees it.
    ///   - range: bytes of the mapping.
    ///   - flags: read-only memory and dirty logging.
    /// - Returns: the slot, for changing and removing it.
    @discardableResult
    public func addMemory(
        at address: UInt64, _ mapping: Mapping, range: Range<Int>? = nil, flags: MemoryFlags = []
    ) throws(KVMError) -> MemorySlot {
        let range = range ?? 0..<mapping.count
        guard range.lowerBound >= 0, range.upperBound <= mapping.count else {
            throw .badMemoryRange(address: address, size: UInt64(clamping: range.count))
        }
        let host = unsafe UInt(bitPattern: mapping.base + range.lowerBound)
        return try addMemory(at: address, size: UInt64(range.count), host: host, owner: mapping, flags: flags)
    }

    /// Shows memory of this process to the guest.
    ///
    /// - Parameters:
    ///   - address: where the guest sees it.
    ///   - memory: must stay mapped until the slot is removed, or the machine and its vCPUs are gone.
    /// - Returns: the slot, for changing and removing it.
    @discardableResult
    public func addMemory(at address: UInt64, _ memory: UnsafeMutableRawBufferPointer, flags: MemoryFlags = [])
        throws(KVMError) -> MemorySlot
    {
        let host = UInt(bitPattern: memory.baseAddress)
        return try addMemory(at: address, size: UInt64(memory.count), host: host, owner: nil, flags: flags)
    }

    private func addMemory(at address: UInt64, size: UInt64, host: UInt, owner: Mapping?, flags: MemoryFlags)
        throws(KVMError) -> MemorySlot
    {
        try memory.withLock { map throws(KVMError) in
            let slot = try map.slots.plan(address: address, size: size, host: host, flags: flags)
            try apply(slot, size: size)
            map.slots.insert(slot)
            map.owners[slot.id] = owner
            return slot
        }
    }

    /// Takes memory away from the guest. KVM drops shadow pages of the whole machine: not for frequent use.
    public func removeMemory(_ slot: MemorySlot) throws(KVMError) {
        try memory.withLock { map throws(KVMError) in
            let current = try map.slots.find(slot.id)
            try apply(current, size: 0)
            map.slots.remove(slot.id)
            map.owners[slot.id] = nil
        }
    }

    /// Switches the dirty log of a slot on or off. Other flags cannot change: remove and add the memory.
    ///
    /// Where the kernel can do so, all pages count as written at first, which spares it a pass over the memory.
    public func setDirtyLog(_ slot: MemorySlot, _ on: Bool) throws(KVMError) {
        try memory.withLock { map throws(KVMError) in
            var current = try map.slots.find(slot.id)
            if on { current.flags.insert(.logDirty) } else { current.flags.remove(.logDirty) }
            try apply(current, size: current.size)
            map.slots.setFlags(current.flags, of: current.id)
        }
    }

    /// Memory slots in use, by guest address.
    public var memorySlots: [MemorySlot] { memory.withLock { $0.slots.slots } }

    private func apply(_ slot: MemorySlot, size: UInt64) throws(KVMError) {
        var region = kvm_userspace_memory_region()
        region.slot = slot.id
        region.flags = slot.flags.rawValue
        region.guest_phys_addr = slot.address
        region.memory_size = size
        region.userspace_addr = UInt64(slot.host)
        try kvmCall(
            raw, WAFER_KVM_SET_USER_MEMORY_REGION, &region, size == 0 ? "remove guest memory" : "map guest memory")
    }
}
