/// The code that a function brings along for firmware (PCI Local Bus 3.0, section 6.3): how a card is booted from.
public protocol PCIExpansionROM: AnyObject, Sendable {
    /// Length in bytes: a power of two, at least 2 KiB.
    var count: UInt64 { get }
    /// The guest reads it at this address now, or nowhere. On a vCPU thread, one call at a time.
    func moved(to address: UInt64?)
}

extension PCIConfigurationSpace {
    /// The expansion ROM's base address register: bit 0 enables it, bits 31:11 are its address.
    mutating func declareROM(count: UInt64) {
        precondition(
            count >= 2048 && count & (count - 1) == 0 && count <= 1 << 31, "an expansion ROM's size is a power of two")
        set(Offset.expansionROM, UInt32(0))
        allowWrites(Offset.expansionROM, ~UInt32(truncatingIfNeeded: count - 1) | 1)
    }

    /// Where the expansion ROM answers now; nil while it is off.
    var decodedROM: UInt64? {
        let register: UInt32 = get(Offset.expansionROM)
        guard register & 1 != 0, command & Command.memorySpace != 0 else { return nil }
        let address = UInt64(register & ~0x7ff)
        return address == 0 ? nil : address
    }
}
