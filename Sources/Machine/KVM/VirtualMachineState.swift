public import SavedState

/// One of the two 8259 interrupt controllers (`struct kvm_pic_state`).
public struct PICState: Hashable, Sendable {
    public internal(set) var lastRequests: UInt8 = 0
    public internal(set) var requests: UInt8 = 0
    public internal(set) var mask: UInt8 = 0
    public internal(set) var inService: UInt8 = 0
    public internal(set) var priorityBase: UInt8 = 0
    public internal(set) var vectorBase: UInt8 = 0
    public internal(set) var readSelect: UInt8 = 0
    public internal(set) var poll: UInt8 = 0
    public internal(set) var specialMask: UInt8 = 0
    public internal(set) var initState: UInt8 = 0
    public internal(set) var autoEOI: UInt8 = 0
    public internal(set) var rotateOnAutoEOI: UInt8 = 0
    public internal(set) var specialFullyNested: UInt8 = 0
    /// Whether initialisation takes a fourth word.
    public internal(set) var init4: UInt8 = 0
    /// Bits are set for level-triggered inputs (ELCR).
    public internal(set) var levelTriggered: UInt8 = 0
    public internal(set) var levelMask: UInt8 = 0

    public init() {}
}

/// The IOAPIC (`struct kvm_ioapic_state`).
public struct IOAPICState: Hashable, Sendable {
    /// Pins.
    public static let pins = 24

    public internal(set) var base: UInt64 = 0
    /// The register that the window shows.
    public internal(set) var select: UInt32 = 0
    public internal(set) var id: UInt32 = 0
    /// Inputs that are raised.
    public internal(set) var requests: UInt32 = 0
    /// One entry a pin.
    public internal(set) var redirections = [UInt64](repeating: 0, count: pins)

    public init() {}
}

/// One counter of the interval timer (`struct kvm_pit_channel_state`).
public struct IntervalTimerChannel: Hashable, Sendable {
    /// 0 stands for 65,536, which is why there are more than 16 bits.
    public internal(set) var count: UInt32 = 0
    public internal(set) var latchedCount: UInt16 = 0
    public internal(set) var countLatched: UInt8 = 0
    public internal(set) var statusLatched: UInt8 = 0
    public internal(set) var status: UInt8 = 0
    public internal(set) var readState: UInt8 = 0
    public internal(set) var writeState: UInt8 = 0
    public internal(set) var writeLatch: UInt8 = 0
    public internal(set) var accessMode: UInt8 = 0
    public internal(set) var mode: UInt8 = 0
    public internal(set) var bcd: UInt8 = 0
    public internal(set) var gate: UInt8 = 0
    /// Nanoseconds of the host's clock: means nothing to another host.
    public internal(set) var loadTime: Int64 = 0

    public init() {}
}

/// The interval timer (`struct kvm_pit_state2`).
public struct IntervalTimerState: Hashable, Sendable {
    public internal(set) var channels = [IntervalTimerChannel](repeating: IntervalTimerChannel(), count: 3)
    /// The kernel's `KVM_PIT_FLAGS_…`.
    public internal(set) var flags: UInt32 = 0

    public init() {}
}

/// The guest's paravirtual clock (`struct kvm_clock_data`).
public struct ClockState: Hashable, Sendable {
    /// Nanoseconds since the guest was started.
    public internal(set) var nanoseconds: UInt64 = 0
    /// The host's wall time at the same moment, in nanoseconds since 1970; nil if it is not known.
    public internal(set) var wallTime: UInt64?
    /// The host's time-stamp counter at the same moment; nil if the kernel could not say.
    public internal(set) var hostTimeStamp: UInt64?

    public init() {}
}

/// What a machine has besides its vCPUs, memory and devices: interrupt controllers, interval timer, clock and routes.
public struct VirtualMachineState: Hashable, Sendable {
    /// The newest version of the encoding.
    public static let formatVersion: UInt32 = 1

    /// The three interrupt controllers; nil if the machine has none in the kernel.
    public internal(set) var controllers: InterruptControllerState?
    /// Nil if the machine has none in the kernel.
    public internal(set) var intervalTimer: IntervalTimerState?
    public internal(set) var clock = ClockState()
    /// Where the interrupts go. Devices with message interrupts save theirs, too, and make them anew; these are for
    /// those who keep the numbers.
    public internal(set) var routes = InterruptRoutes(limit: 0)

    public init() {}

    /// Bytes of a stable format, independent of this program's and the kernel's layouts.
    public func encoded() -> [UInt8] { FieldCoder.encode(self, version: Self.formatVersion) }

    /// A state from its bytes. They may come from anywhere: everything is checked.
    public init(decoding bytes: [UInt8]) throws(KVMError) {
        do throws(StateError) {
            self = try FieldCoder.decode(bytes, newest: Self.formatVersion, "virtual machine")
        } catch { throw .badState("\(error)") }
    }
}

/// The three interrupt controllers in the kernel.
public struct InterruptControllerState: Hashable, Sendable {
    public internal(set) var picMaster = PICState()
    public internal(set) var picSlave = PICState()
    public internal(set) var ioapic = IOAPICState()

    public init() {}
}

// The order and the widths of the fields below are the format, version 1. Add fields at the end of
// `VirtualMachineState.code`, under a check of the version.

extension VirtualMachineState: FieldCoded {
    public mutating func code(_ coder: inout FieldCoder) {
        coder.optional(&controllers)
        coder.optional(&intervalTimer)
        coder.field(&clock)
        coder.field(&routes)
    }
}

extension InterruptControllerState: FieldCoded {
    public mutating func code(_ coder: inout FieldCoder) {
        coder.field(&picMaster)
        coder.field(&picSlave)
        coder.field(&ioapic)
    }
}

extension PICState: FieldCoded {
    public mutating func code(_ coder: inout FieldCoder) {
        coder.field(&lastRequests)
        coder.field(&requests)
        coder.field(&mask)
        coder.field(&inService)
        coder.field(&priorityBase)
        coder.field(&vectorBase)
        coder.field(&readSelect)
        coder.field(&poll)
        coder.field(&specialMask)
        coder.field(&initState)
        coder.field(&autoEOI)
        coder.field(&rotateOnAutoEOI)
        coder.field(&specialFullyNested)
        coder.field(&init4)
        coder.field(&levelTriggered)
        coder.field(&levelMask)
    }
}

extension IOAPICState: FieldCoded {
    public mutating func code(_ coder: inout FieldCoder) {
        coder.field(&base)
        coder.field(&select)
        coder.field(&id)
        coder.field(&requests)
        coder.fixed(&redirections)
    }
}

extension IntervalTimerChannel: FieldCoded {
    public mutating func code(_ coder: inout FieldCoder) {
        coder.field(&count)
        coder.field(&latchedCount)
        coder.field(&countLatched)
        coder.field(&statusLatched)
        coder.field(&status)
        coder.field(&readState)
        coder.field(&writeState)
        coder.field(&writeLatch)
        coder.field(&accessMode)
        coder.field(&mode)
        coder.field(&bcd)
        coder.field(&gate)
        coder.field(&loadTime)
    }
}

extension IntervalTimerState: FieldCoded {
    public mutating func code(_ coder: inout FieldCoder) {
        coder.fixed(&channels)
        coder.field(&flags)
    }
}

extension ClockState: FieldCoded {
    public mutating func code(_ coder: inout FieldCoder) {
        coder.field(&nanoseconds)
        var (hasWallTime, wall) = (wallTime != nil, wallTime ?? 0)
        coder.field(&hasWallTime)
        coder.field(&wall)
        wallTime = hasWallTime ? wall : nil
        var (hasTimeStamp, stamp) = (hostTimeStamp != nil, hostTimeStamp ?? 0)
        coder.field(&hasTimeStamp)
        coder.field(&stamp)
        hostTimeStamp = hasTimeStamp ? stamp : nil
    }
}
