import GuestMemory
import Synchronization

/// One entry of a descriptor table or packed ring, as read once: 16 bytes, little-endian (virtio 1.2, 2.7.5 and 2.8.13).
struct RingDescriptor: BitwiseCopyable {
    enum Flags {
        static let next: UInt16 = 1 << 0
        static let write: UInt16 = 1 << 1
        static let indirect: UInt16 = 1 << 2
        static let available: UInt16 = 1 << 7
        static let used: UInt16 = 1 << 15
    }

    var address: UInt64
    /// Length in bits 31:0; then flags and next (split), or id and flags (packed).
    private var rest: UInt64

    var count: UInt32 { UInt32(truncatingIfNeeded: rest) }
    var splitFlags: UInt16 { UInt16(truncatingIfNeeded: rest >> 32) }
    var splitNext: UInt16 { UInt16(truncatingIfNeeded: rest >> 48) }
    var packedIdentifier: UInt16 { UInt16(truncatingIfNeeded: rest >> 32) }
    var packedFlags: UInt16 { UInt16(truncatingIfNeeded: rest >> 48) }

    /// Reads entry `index` of a table at `base`, each half exactly once.
    ///
    /// The caller checked that the entry is in guest memory. Only indirect tables may be misaligned.
    @inline(__always)
    init(_ base: UnsafeMutableRawPointer, _ index: Int) {
        let entry = unsafe base + 16 &* index
        if UInt(bitPattern: entry) & 7 == 0 {
            // Atomics, so that the compiler cannot read a second time what the guest may have changed since.
            unsafe address = entry.assumingMemoryBound(to: Atomic<UInt64>.self).pointee.load(ordering: .relaxed)
            unsafe rest = (entry + 8).assumingMemoryBound(to: Atomic<UInt64>.self).pointee.load(ordering: .relaxed)
        } else {
            unsafe address = Self.bytewise(entry)
            unsafe rest = Self.bytewise(entry + 8)
        }
    }

    @inline(never)
    private static func bytewise(_ base: UnsafeMutableRawPointer) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<8 {
            let byte = unsafe (base + index).assumingMemoryBound(to: Atomic<UInt8>.self).pointee
                .load(ordering: .relaxed)
            value |= UInt64(byte) << UInt64(8 &* index)
        }
        return value
    }
}

extension VirtQueue {
    /// How many entries an indirect table may have. More than any driver uses, little enough to walk.
    static let indirectMax = 1024

    /// The indirect table a descriptor points to.
    func indirectTable(_ descriptor: RingDescriptor, flags: UInt16) -> (
        table: UnsafeMutableRawPointer?, count: Int, fault: VirtQueueFault?
    ) {
        let length = descriptor.count
        let count = Int(length / 16)
        guard allowsIndirect else { return (nil, 0, .indirectNotNegotiated) }
        guard length % 16 == 0, count > 0, count <= Self.indirectMax, flags & RingDescriptor.Flags.next == 0 else {
            return (nil, 0, .indirectTable(length, flags: flags))
        }
        guard let table = unsafe ram.pointer(at: descriptor.address, count: Int(length)) else {
            return unsafe (nil, 0, .bufferAddress(descriptor.address, length))
        }
        return unsafe (table, count, nil)
    }
}
