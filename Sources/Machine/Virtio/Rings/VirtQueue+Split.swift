import Synchronization

// The split ring (virtio 1.2, section 2.7).
//
//   descriptors  16 bytes each
//   driver       flags u16, idx u16, ring[size] u16, used_event u16
//   device       flags u16, idx u16, ring[size] {id u32, len u32}, avail_event u16
extension VirtQueue {
    private enum Flag {
        /// In the driver's flags: no interrupt, please.
        static let noInterrupt: UInt16 = 1
        /// In the device's flags: no doorbell, please.
        static let noNotify: UInt16 = 1
    }

    private var mask: UInt16 { places.size &- 1 }

    /// Reads the driver's index if the one seen last is used up.
    ///
    /// - Returns: whether there is a chain to take.
    @inline(__always)
    private func refresh() -> Bool {
        if position.available != availableSeen { return true }
        // Acquiring: the ring entries and descriptors were written before the index.
        availableSeen = unsafe Self.word(driver, 2).pointee.load(ordering: .acquiring)
        return position.available != availableSeen
    }

    var hasNextSplit: Bool { refresh() }

    func nextSplit(into chain: inout DescriptorChain) -> PopResult {
        guard refresh() else { return .empty }
        // Whatever is offered and what is still out together fit into the ring, or the driver has lost its way.
        let offered = availableSeen &- position.available
        guard UInt32(offered) &+ taken <= UInt32(places.size) else { return broken(.tooManyAvailable(offered)) }
        let slot = Int(position.available & mask)
        let head = unsafe Self.word(driver, 4 &+ 2 &* slot).pointee.load(ordering: .relaxed)
        if let fault = walk(from: head, into: &chain) { return broken(fault) }
        chain.head.id = head
        chain.head.slots = 1
        position.available &+= 1
        taken &+= 1
        return .chain
    }

    private func broken(_ fault: VirtQueueFault) -> PopResult {
        breakDown(fault)
        return .broken
    }

    /// Follows a chain through the descriptor table.
    private func walk(from head: UInt16, into chain: inout DescriptorChain) -> VirtQueueFault? {
        var index = head
        // No chain has more entries than the table; one that has goes in circles.
        for _ in 0..<places.size {
            guard index < places.size else { return .descriptorIndex(index) }
            let descriptor = unsafe RingDescriptor(descriptors, Int(index))
            let flags = descriptor.splitFlags
            if flags & RingDescriptor.Flags.indirect != 0 { return walkIndirect(descriptor, into: &chain) }
            let writable = flags & RingDescriptor.Flags.write != 0
            if let fault = chain.append(descriptor.address, descriptor.count, writable: writable) { return fault }
            if flags & RingDescriptor.Flags.next == 0 { return nil }
            index = descriptor.splitNext
        }
        return .chainTooLong
    }

    private func walkIndirect(_ entry: RingDescriptor, into chain: inout DescriptorChain) -> VirtQueueFault? {
        let (found, count, fault) = unsafe indirectTable(entry, flags: entry.splitFlags)
        guard let table = unsafe found else { return fault }
        var index = 0
        for _ in 0..<count {
            let descriptor = unsafe RingDescriptor(table, index)
            let flags = descriptor.splitFlags
            guard flags & RingDescriptor.Flags.indirect == 0 else {
                return .indirectTable(descriptor.count, flags: flags)
            }
            let writable = flags & RingDescriptor.Flags.write != 0
            if let fault = chain.append(descriptor.address, descriptor.count, writable: writable) { return fault }
            if flags & RingDescriptor.Flags.next == 0 { return nil }
            index = Int(descriptor.splitNext)
            guard index < count else { return .descriptorIndex(descriptor.splitNext) }
        }
        return .chainTooLong
    }

    func pushSplit(_ head: ChainHead, _ written: UInt32) {
        let offset = 4 &+ 8 &* Int(position.used & mask)
        let entry = unsafe device + offset
        unsafe entry.storeBytes(of: UInt32(head.id).littleEndian, as: UInt32.self)
        unsafe (entry + 4).storeBytes(of: written.littleEndian, as: UInt32.self)
        markDevice(offset, 8)
        position.used &+= 1
        unnotified &+= 1
    }

    func publishSplit() {
        // Releasing: the driver that sees the index sees the entries and the data.
        unsafe Self.word(device, 2).pointee.store(position.used, ordering: .releasing)
        markDevice(2, 2)
    }

    func wantsInterruptSplit() -> Bool {
        guard usesEventIndex else {
            return unsafe Self.word(driver, 0).pointee.load(ordering: .relaxed) & Flag.noInterrupt == 0
        }
        let event = unsafe Self.word(driver, 4 &+ 2 &* Int(places.size)).pointee.load(ordering: .relaxed)
        return passed(event, new: position.used)
    }

    /// Whether the last `unnotified` steps up to `new` passed `event`: the rule of 2.7.10, where the old index is the new
    /// one less the steps.
    @inline(__always)
    func passed(_ event: UInt16, new: UInt16) -> Bool { UInt32(new &- event &- 1) < unnotified }

    func enableSplit() {
        if usesEventIndex {
            let offset = 4 &+ 8 &* Int(places.size)
            unsafe Self.word(device, offset).pointee.store(position.available, ordering: .relaxed)
            markDevice(offset, 2)
        } else {
            setNoNotify(0)
        }
    }

    func disableSplit() {
        guard usesEventIndex else { return setNoNotify(Flag.noNotify) }
        // The driver rings only for the index asked for: ask for one that is half a round away.
        let offset = 4 &+ 8 &* Int(places.size)
        unsafe Self.word(device, offset).pointee.store(position.available &+ 0x8000, ordering: .relaxed)
        markDevice(offset, 2)
    }

    private func setNoNotify(_ flags: UInt16) {
        unsafe Self.word(device, 0).pointee.store(flags, ordering: .relaxed)
        markDevice(0, 2)
    }
}
