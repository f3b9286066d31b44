import CLinux

extension VirtualCPU {
    /// Why `run` returned.
    public enum Exit: Hashable, Sendable {
        /// A signal or `requestExit` interrupted it.
        case interrupted
        /// The vCPU was not ready to run: try again.
        case again
        /// A port access: see `portAccess`.
        case port
        /// An access to an address without memory: see `memoryAccess`.
        case memory
        /// HLT, where there are no interrupt controllers in the kernel.
        case halt
        /// A triple fault: a processor would reset.
        case shutdown
        /// The processor refused the guest's state: see `entryFailure`.
        case entryFailure
        /// KVM cannot go on: see `internalError`.
        case internalError
        /// The guest asked for something by a system interface: see `systemEvent`.
        case systemEvent
        /// An interrupt can be injected now that could not before.
        case interruptWindow
        /// A level interrupt ended that user space wants to know of.
        case endOfInterrupt
        /// A Hyper-V interface of the guest.
        case hyperV
        /// A model-specific register is to be read here: see `registerAccess`.
        case readRegister
        /// A model-specific register is to be written here: see `registerAccess`.
        case writeRegister
        /// A ring of written pages is full.
        case dirtyRingFull
        /// The guest locked the bus.
        case busLock
        /// The guest kept the processor without a chance to interrupt it.
        case notify
        /// A breakpoint or single step of a debugger.
        case debug
        /// A reason that this program does not know, by the kernel's number.
        case unknown(UInt32)
        /// The call failed with this `errno`.
        case failed(CInt)

        init(failure: CInt) {
            switch failure {
            case EINTR: self = .interrupted
            case EAGAIN: self = .again
            default: self = .failed(failure)
            }
        }

        init(reason: UInt32) {
            switch CInt(truncatingIfNeeded: reason) {
            case KVM_EXIT_IO: self = .port
            case KVM_EXIT_MMIO: self = .memory
            case KVM_EXIT_INTR: self = .interrupted
            case KVM_EXIT_HLT: self = .halt
            case KVM_EXIT_SHUTDOWN: self = .shutdown
            case KVM_EXIT_FAIL_ENTRY: self = .entryFailure
            case KVM_EXIT_INTERNAL_ERROR: self = .internalError
            case KVM_EXIT_SYSTEM_EVENT: self = .systemEvent
            case KVM_EXIT_IRQ_WINDOW_OPEN: self = .interruptWindow
            case KVM_EXIT_IOAPIC_EOI: self = .endOfInterrupt
            case KVM_EXIT_HYPERV: self = .hyperV
            case KVM_EXIT_X86_RDMSR: self = .readRegister
            case KVM_EXIT_X86_WRMSR: self = .writeRegister
            case KVM_EXIT_DIRTY_RING_FULL: self = .dirtyRingFull
            case KVM_EXIT_X86_BUS_LOCK: self = .busLock
            case KVM_EXIT_NOTIFY: self = .notify
            case KVM_EXIT_DEBUG: self = .debug
            default: self = .unknown(reason)
            }
        }
    }

    /// A port access of the guest: `count` times `width` bytes to or from the same port.
    public struct PortAccess: Hashable, Sendable {
        public let port: UInt16
        /// Bytes of one access: 1, 2 or 4.
        public let width: Int
        /// More than one for string instructions.
        public let count: Int
        /// From the guest, otherwise to it.
        public let isWrite: Bool
        /// Where the data lies in the shared structure.
        let offset: Int
    }

    /// The port access of the last exit. Meaningful after `.port` only.
    public var portAccess: PortAccess {
        let io = unsafe page.pointee.io
        let (width, count) = (Int(io.size), Int(io.count))
        let offset = Int(truncatingIfNeeded: io.data_offset)
        // The kernel keeps the data inside the mapping; if it ever did not, there is none.
        let isInside = offset >= 0 && offset <= runSize && width * count <= runSize - offset
        return PortAccess(
            port: io.port, width: width, count: isInside ? count : 0, isWrite: io.direction == KVM_EXIT_IO_OUT,
            offset: offset)
    }

    /// One value of a port access that the guest wrote. Zero if there is none at `index`.
    public func value(of access: PortAccess, at index: Int = 0) -> UInt32 {
        guard index >= 0, index < access.count else { return 0 }
        let place = unsafe UnsafeRawPointer(page) + access.offset + index * access.width
        switch access.width {
        case 1: return unsafe UInt32(place.load(as: UInt8.self))
        case 2: return unsafe UInt32(place.loadUnaligned(as: UInt16.self))
        case 4: return unsafe place.loadUnaligned(as: UInt32.self)
        default: return 0
        }
    }

    /// Answers one value of a port access that the guest reads. The guest gets it with the next `run`.
    public func answer(_ access: PortAccess, at index: Int = 0, _ value: UInt32) {
        guard index >= 0, index < access.count else { return }
        let place = unsafe UnsafeMutableRawPointer(page) + access.offset + index * access.width
        switch access.width {
        case 1: unsafe place.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
        case 2: unsafe place.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
        case 4: unsafe place.storeBytes(of: value, as: UInt32.self)
        default: break
        }
    }

    /// All data of a port access, for devices that take strings at once. Valid until the next `run`.
    public func data(of access: PortAccess) -> UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(page) + access.offset, count: access.count * access.width)
    }

    /// An access of the guest to an address without memory, or a write to read-only memory.
    public struct MemoryAccess: Hashable, Sendable {
        public let address: UInt64
        /// Bytes: 1 to 8; 3, 5, 6 and 7 where an access crosses a page.
        public let width: Int
        /// From the guest, otherwise to it.
        public let isWrite: Bool
        /// What the guest wrote, little-endian; zero for reads.
        public let value: UInt64
    }

    /// The memory access of the last exit. Meaningful after `.memory` only.
    public var memoryAccess: MemoryAccess {
        let width = min(8, Int(unsafe page.pointee.mmio.len))
        let isWrite = unsafe page.pointee.mmio.is_write != 0
        let data = unsafe mmioData.load(as: UInt64.self)
        let mask = width == 8 ? UInt64.max : (1 &<< UInt64(truncatingIfNeeded: width &* 8)) &- 1
        return unsafe MemoryAccess(
            address: page.pointee.mmio.phys_addr, width: width, isWrite: isWrite, value: isWrite ? data & mask : 0)
    }

    /// Answers a read. The guest gets the low `width` bytes with the next `run`.
    public func answerMemoryRead(_ value: UInt64) { unsafe mmioData.storeBytes(of: value, as: UInt64.self) }

    /// The eight bytes of `kvm_run.mmio.data`, at a multiple of eight.
    private var mmioData: UnsafeMutableRawPointer {
        unsafe UnsafeMutableRawPointer(page) + Self.mmioDataOffset
    }
    private static var mmioDataOffset: Int { 40 }
}
