import GuestMemory
import Synchronization

// The packed ring (virtio 1.2, section 2.8).
//
//   descriptors  {addr u64, len u32, id u16, flags u16}; available if AVAIL = wrap and USED ≠ wrap
//   driver       {offset and wrap u16, flags u16}: when the driver wants interrupts
//   device       the same: when the device wants doorbells
extension VirtQueue {
    private enum Event {
        static let enable: UInt16 = 0
        static let disable: UInt16 = 1
        /// At the descriptor that the offset names.
        static let descriptor: UInt16 = 2
        static let wrap: UInt16 = 1 << 15
    }

    private func flagsWord(_ slot: UInt16) -> UnsafeMutablePointer<Atomic<UInt16>> {
        unsafe Self.word(descriptors, 16 &* Int(slot) &+ 14)
    }

    private func isAvailable(_ flags: UInt16) -> Bool {
        let available = flags & RingDescriptor.Flags.available != 0
        let used = flags & RingDescriptor.Flags.used != 0
        return available == position.availableWrap && used != position.availableWrap
    }

    var hasNextPacked: Bool {
        // Acquiring: the rest of the chain was written before its first flags.
        isAvailable(unsafe flagsWord(position.available).pointee.load(ordering: .acquiring))
    }

    func nextPacked(into chain: inout DescriptorChain) -> PopResult {
        guard hasNextPacked else { return .empty }
        // Entries that are out cannot be offered again: no lap is taken.
        let room = UInt32(places.size) &- min(taken, UInt32(places.size))
        guard room > 0 else { return broken(.tooManyAvailable(places.size)) }
        var slot = position.available
        var slots: UInt16 = 0
        while true {
            guard UInt32(slots) < room else { return broken(.chainTooLong) }
            let descriptor = unsafe RingDescriptor(descriptors, Int(slot))
            let flags = descriptor.packedFlags
            slots &+= 1
            slot &+= 1
            if slot == places.size { slot = 0 }
            // The id of a chain stands in its last descriptor.
            chain.head.id = descriptor.packedIdentifier
            if flags & RingDescriptor.Flags.indirect != 0 {
                if let fault = appendIndirect(descriptor, into: &chain) { return broken(fault) }
                break
            }
            let writable = flags & RingDescriptor.Flags.write != 0
            if let fault = chain.append(descriptor.address, descriptor.count, writable: writable) {
                return broken(fault)
            }
            if flags & RingDescriptor.Flags.next == 0 { break }
        }
        chain.head.slots = slots
        if slot <= position.available { position.availableWrap.toggle() }
        position.available = slot
        taken &+= UInt32(slots)
        return .chain
    }

    private func broken(_ fault: VirtQueueFault) -> PopResult {
        breakDown(fault)
        return .broken
    }

    /// All entries of a packed ring's indirect table belong to the chain, in order (2.8.7).
    private func appendIndirect(_ entry: RingDescriptor, into chain: inout DescriptorChain) -> VirtQueueFault? {
        let (found, count, fault) = unsafe indirectTable(entry, flags: entry.packedFlags)
        guard let table = unsafe found else { return fault }
        for index in 0..<count {
            let descriptor = unsafe RingDescriptor(table, index)
            let flags = descriptor.packedFlags
            guard flags & RingDescriptor.Flags.indirect == 0 else {
                return .indirectTable(descriptor.count, flags: flags)
            }
            let writable = flags & RingDescriptor.Flags.write != 0
            if let fault = chain.append(descriptor.address, descriptor.count, writable: writable) { return fault }
        }
        return nil
    }

    func putBackPacked(_ head: ChainHead) {
        if position.available < head.slots {
            position.available &+= places.size
            position.availableWrap.toggle()
        }
        position.available &-= head.slots
    }

    func pushPacked(_ head: ChainHead, _ written: UInt32) {
        let slot = position.used
        let entry = unsafe descriptors + 16 &* Int(slot)
        unsafe (entry + 8).storeBytes(of: written.littleEndian, as: UInt32.self)
        unsafe (entry + 12).storeBytes(of: head.id.littleEndian, as: UInt16.self)
        var flags: UInt16 = written > 0 ? RingDescriptor.Flags.write : 0
        if position.usedWrap { flags |= RingDescriptor.Flags.available | RingDescriptor.Flags.used }
        if holdsFlags {
            unsafe flagsWord(slot).pointee.store(flags, ordering: .releasing)
        } else {
            // The driver looks at the first one next and stops there: the batch appears with its flags.
            holdsFlags = true
            heldSlot = slot
            heldFlags = flags
        }
        ram.markDirty(places.descriptors &+ 16 &* UInt64(slot), count: 16)
        position.used &+= head.slots
        if position.used >= places.size {
            position.used &-= places.size
            position.usedWrap.toggle()
        }
        unnotified &+= UInt32(head.slots)
    }

    func publishPacked() {
        guard holdsFlags else { return }
        holdsFlags = false
        // Releasing: the driver that sees these flags sees the rest of the batch and the data.
        unsafe flagsWord(heldSlot).pointee.store(heldFlags, ordering: .releasing)
        ram.markDirty(places.descriptors &+ 16 &* UInt64(heldSlot), count: 16)
    }

    func wantsInterruptPacked() -> Bool {
        let flags = unsafe Self.word(driver, 2).pointee.load(ordering: .acquiring)
        switch flags & 3 {
        case Event.disable: return false
        case Event.descriptor where usesEventIndex:
            let word = unsafe Self.word(driver, 0).pointee.load(ordering: .relaxed)
            var event = word & ~Event.wrap
            // An offset of the lap before counts from where that lap began.
            if (word & Event.wrap != 0) != position.usedWrap { event &-= places.size }
            return passed(event, new: position.used)
        default: return true
        }
    }

    func enablePacked() {
        if usesEventIndex {
            let word = position.available | (position.availableWrap ? Event.wrap : 0)
            unsafe Self.word(device, 0).pointee.store(word, ordering: .relaxed)
            unsafe Self.word(device, 2).pointee.store(Event.descriptor, ordering: .releasing)
        } else {
            unsafe Self.word(device, 2).pointee.store(Event.enable, ordering: .relaxed)
        }
        markDevice(0, 4)
    }

    func disablePacked() {
        unsafe Self.word(device, 2).pointee.store(Event.disable, ordering: .relaxed)
        markDevice(2, 2)
    }
}
