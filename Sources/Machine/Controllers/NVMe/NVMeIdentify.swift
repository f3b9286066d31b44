import DeviceModel

/// The data structures that Identify returns, 4096 bytes each (NVM Express 1.4, section 5.15).
struct NVMeIdentify {
    /// Which structure is asked for (CNS).
    enum Structure {
        static let namespace: UInt32 = 0
        static let controller: UInt32 = 1
        static let activeNamespaces: UInt32 = 2
        static let descriptors: UInt32 = 3
    }

    static let size = 4096
    /// VMware's; what the virtual disk of its products says.
    static let vendor: UInt16 = 0x15ad
    static let device: UInt16 = 0x07f0
    static let model = "VMware Virtual NVMe Disk"
    static let firmware = "1.3"
    /// Asynchronous event requests that may wait, less one.
    static let eventRequestsMax: UInt8 = 3
    /// VMware's block of MAC addresses, as the IEEE identifier of who made it.
    private static let organisation: [UInt8] = [0x00, 0x50, 0x56]

    let serial: String
    let namespaceCount: Int

    func controller() -> [UInt8] {
        var data = StructureBytes(count: Self.size)
        data.set(0, Self.vendor)
        data.set(2, Self.vendor)
        data.set(4, text: serial, width: 20)
        data.set(24, text: Self.model, width: 40)
        data.set(64, text: Self.firmware, width: 8)
        data.set(73, Array(Self.organisation.reversed()))
        // Longest transfer: two to the power of this, in pages of 4 KiB.
        data.set(77, UInt8((NVMeQueueGroup.transferMax / 4096).trailingZeroBitCount))
        data.set(80, NVMeRegisters.version)
        // Optional events: namespace attributes changed.
        data.set(92, UInt32(1 << 8))
        data.set(111, UInt8(1))  // an I/O controller
        // Optional admin commands: doorbell buffers.
        data.set(256, UInt16(1 << 8))
        data.set(258, UInt8(3))  // aborts at once, less one
        data.set(259, Self.eventRequestsMax)
        data.set(260, UInt8(0x03))  // one firmware slot, read-only
        data.set(261, UInt8(1 << 2))  // log pages can be read from an offset
        // Kelvin at which we would warn, and give up.
        data.set(266, UInt16(343))
        data.set(268, UInt16(353))
        data.set(512, UInt8(0x66))  // submission queue entries of 64 bytes
        data.set(513, UInt8(0x44))  // completion queue entries of 16 bytes
        data.set(516, UInt32(namespaceCount))
        // Optional commands: dataset management, write zeroes; features can be asked for by kind of value.
        data.set(520, UInt16(1 << 2 | 1 << 3 | 1 << 4))
        // A volatile write cache, which is flushed a namespace at a time.
        data.set(525, UInt8(1 | 2 << 1))
        let name = "nqn.2014-08.com.vmware:nvme:" + String(serial.filter { $0 != " " })
        data.set(768, text: name, width: 256, fill: 0)
        data.set(2048, UInt16(2500))  // hundredths of a watt of the only power state
        return data.bytes
    }

    static func namespace(_ geometry: BlockGeometry, number: UInt32) -> [UInt8] {
        var data = StructureBytes(count: size)
        let blocks = geometry.capacity / UInt64(geometry.logicalBlock)
        data.set(0, blocks)
        data.set(8, blocks)
        data.set(16, blocks)
        // Thin if space can be given back; the preferred sizes below hold.
        data.set(24, UInt8((geometry.canDiscard ? 1 : 0) | 1 << 4))
        // What deallocated blocks read as is not told; write zeroes may deallocate.
        data.set(33, UInt8(geometry.canDiscard ? 1 << 3 : 0))
        let preferred = UInt16(clamping: max(geometry.physicalBlock / geometry.logicalBlock, 1) - 1)
        // Preferred granularity and alignment of writes, then of deallocation, counted from zero.
        for offset in stride(from: 64, to: 72, by: 2) { data.set(offset, preferred) }
        data.set(99, UInt8(geometry.isReadOnly ? 1 : 0))
        if let identifier = globalIdentifier(geometry, number: number) { data.set(104, identifier) }
        // The only format: the block's size as a power of two.
        data.set(130, UInt8(geometry.logicalBlock.trailingZeroBitCount))
        return data.bytes
    }

    /// The list of namespaces after `number`.
    func activeNamespaces(after number: UInt32) -> [UInt8] {
        var data = StructureBytes(count: Self.size)
        var offset = 0
        for next in 1...UInt32(max(namespaceCount, 1)) where next > number {
            data.set(offset, next)
            offset += 4
        }
        return data.bytes
    }

    /// The list of a namespace's names: its globally unique identifier, if the disk has a name.
    static func descriptors(_ geometry: BlockGeometry, number: UInt32) -> [UInt8] {
        var data = StructureBytes(count: size)
        if let identifier = globalIdentifier(geometry, number: number) {
            data.set(0, UInt8(2))
            data.set(1, UInt8(identifier.count))
            data.set(4, identifier)
        }
        return data.bytes
    }

    /// A name made of the disk's: eight bytes and three of its own, with the maker's identifier between. Disks of one
    /// name would have one identifier, so a disk without a name has none.
    private static func globalIdentifier(_ geometry: BlockGeometry, number: UInt32) -> [UInt8]? {
        guard !geometry.identity.isEmpty else { return nil }
        let text = Array(geometry.identity.utf8)
        let first = hash(text, number)
        let second = hash(text + [0xff], number)
        let low = (0..<8).map { UInt8(truncatingIfNeeded: first >> (8 * $0)) }
        let high = (0..<5).map { UInt8(truncatingIfNeeded: second >> (8 * $0)) }
        return low + organisation + high
    }

    /// FNV-1a of 64 bits (Fowler, Noll, Vo), begun with the namespace's number.
    private static func hash(_ bytes: [UInt8], _ number: UInt32) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes + [UInt8(truncatingIfNeeded: number)] { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return hash
    }
}
