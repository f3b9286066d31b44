public import Linux

/// Why something asked of KVM could not be done.
public enum KVMError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The kernel refused a call.
    case call(SystemError)
    /// This host cannot run virtual machines at all.
    case unavailable(KVMSystem.Unavailable)
    /// This host's KVM lacks something that is needed.
    case unsupported(String)
    /// A stretch of guest memory is not page-aligned, empty, wraps around or is larger than KVM takes.
    case badMemoryRange(address: UInt64, size: UInt64)
    /// A stretch of guest memory overlaps one that is there already.
    case memoryOverlap(address: UInt64, size: UInt64, other: UInt64)
    /// All memory slots are in use.
    case noFreeSlot(limit: Int)
    /// No memory slot has this number.
    case unknownSlot(UInt32)
    /// All interrupt routes are in use.
    case noFreeInterrupt(limit: UInt32)
    /// An interrupt number that was never allocated, or a pin that the chip does not have.
    case badInterrupt(UInt32)
    /// The kernel took only some of the model-specific registers: the first it refused.
    case registerRefused(index: UInt32, value: UInt64)
    /// A saved value does not fit this virtual machine.
    case badState(String)

    public var description: String {
        switch self {
        case .call(let error): "\(error)"
        case .unavailable(let reason): "\(reason)"
        case .unsupported(let what): "this host's KVM does not support \(what)"
        case .badMemoryRange(let address, let size):
            "guest memory at \(hex(address)) of \(hex(size)) bytes is empty, not page-aligned or too large"
        case .memoryOverlap(let address, let size, let other):
            "guest memory at \(hex(address)) of \(hex(size)) bytes overlaps the memory at \(hex(other))"
        case .noFreeSlot(let limit): "all \(limit) memory slots are in use"
        case .unknownSlot(let slot): "there is no memory slot \(slot)"
        case .noFreeInterrupt(let limit): "all \(limit) interrupt routes are in use"
        case .badInterrupt(let gsi): "there is no interrupt \(gsi)"
        case .registerRefused(let index, let value):
            "the kernel refused \(hex(value)) for model-specific register \(hex(index))"
        case .badState(let what): "saved state does not fit: \(what)"
        }
    }
}

/// A number as people read addresses.
func hex(_ value: some BinaryInteger) -> String { "0x" + String(value, radix: 16) }
