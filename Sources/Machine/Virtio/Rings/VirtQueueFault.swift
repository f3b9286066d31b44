/// What is wrong with a ring: the guest's error, after which the device asks to be reset.
public enum VirtQueueFault: Error, Equatable, Sendable, BitwiseCopyable, CustomStringConvertible {
    /// Zero, over the maximum, or not a power of two in a split ring.
    case size(UInt16)
    /// A part of the ring is misaligned or not in guest memory.
    case ringAddress(UInt64)
    /// More chains than the ring has entries.
    case tooManyAvailable(UInt16)
    /// A descriptor number outside its table.
    case descriptorIndex(UInt16)
    /// A chain that never ends.
    case chainTooLong
    /// More parts than the device takes in one chain.
    case tooManySegments(Int)
    /// A buffer of no bytes.
    case emptyBuffer(UInt64)
    /// A buffer that is not in guest memory.
    case bufferAddress(UInt64, UInt32)
    /// All buffers of a chain together exceed 4 GiB.
    case chainTooLarge
    /// A device-readable buffer follows a device-writable one.
    case readableAfterWritable
    /// Length, nesting or flags of an indirect table.
    case indirectTable(UInt32, flags: UInt16)
    /// An indirect table that was not negotiated.
    case indirectNotNegotiated
    /// The device found the contents of a request impossible to answer.
    case malformedRequest

    public var description: String {
        switch self {
        case .size(let size): "queue size \(size) is not allowed"
        case .ringAddress(let address): "no ring can be at guest address 0x\(String(address, radix: 16))"
        case .tooManyAvailable(let count): "\(count) chains are offered, more than the ring holds"
        case .descriptorIndex(let index): "descriptor \(index) does not exist"
        case .chainTooLong: "a descriptor chain is longer than its table"
        case .tooManySegments(let limit): "a descriptor chain has more than \(limit) buffers"
        case .emptyBuffer(let address): "a buffer at guest address 0x\(String(address, radix: 16)) has no bytes"
        case .bufferAddress(let address, let count):
            "\(count) bytes at guest address 0x\(String(address, radix: 16)) are not guest memory"
        case .chainTooLarge: "a descriptor chain is longer than 4 GiB"
        case .readableAfterWritable: "a readable buffer follows a writable one"
        case .indirectTable(let count, let flags):
            "an indirect table of \(count) bytes with flags 0x\(String(flags, radix: 16)) is not allowed"
        case .indirectNotNegotiated: "an indirect table is used that was not negotiated"
        case .malformedRequest: "a request is malformed"
        }
    }
}
