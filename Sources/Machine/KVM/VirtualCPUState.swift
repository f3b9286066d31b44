public import SavedState

/// All that a vCPU is, between two instructions: for saving, moving and resetting machines.
///
/// A state taken right after a vCPU was made is that of a processor after power-on; restoring it is a reset.
public struct VirtualCPUState: Hashable, Sendable {
    /// The newest version of the encoding.
    public static let formatVersion: UInt32 = 1

    /// The vCPU's number, which is its APIC id.
    public internal(set) var id: UInt32 = 0
    /// Nil without interrupt controllers in the kernel.
    public internal(set) var activity: VirtualCPU.Activity?
    public internal(set) var general = GeneralRegisters()
    public internal(set) var special = SpecialRegisters()
    /// The four page-directory pointers that the processor holds under 32-bit PAE paging; empty otherwise.
    public internal(set) var pageDirectoryPointers: [UInt64] = []
    /// Floating-point and vector registers, in the layout of the XSAVE instruction.
    public internal(set) var extended: [UInt8] = []
    public internal(set) var extendedControl: [ExtendedControlRegister] = []
    public internal(set) var debug = DebugRegisters()
    /// Nil without interrupt controllers in the kernel.
    public internal(set) var localAPIC: LocalAPIC?
    public internal(set) var modelSpecific: [ModelSpecificRegister] = []
    /// Frequency of the time-stamp counter in kHz; 0 if it could not be found out.
    public internal(set) var timeStampFrequency: UInt32 = 0
    public internal(set) var cpuid: [CPUIDEntry] = []
    /// The kernel's `struct kvm_nested_state` with its data, if the guest runs guests.
    public internal(set) var nested: [UInt8] = []
    public internal(set) var events = VirtualCPUEvents()
    /// The host's wall time when the time-stamp counter was read, in nanoseconds since 1970.
    public internal(set) var wallTime: UInt64 = 0

    public init() {}

    /// How far the time-stamp counter has come since the state was taken, in ticks.
    func timeStampAdvance() -> UInt64 {
        // The product of nanoseconds and kHz can take more than 64 bits.
        let elapsed = WallTime.elapsed(since: wallTime)
        let (high, low) = elapsed.multipliedFullWidth(by: UInt64(timeStampFrequency))
        return high < 1_000_000 ? UInt64(1_000_000).dividingFullWidth((high, low)).quotient : 0
    }

    /// The features that the guest saw on the processor.
    public var features: CPUFeatureSet { CPUFeatureSet(cpuid.withoutRuntimeBits) }

    /// Bytes of a stable format, independent of this program's and the kernel's layouts.
    public func encoded() -> [UInt8] { FieldCoder.encode(self, version: Self.formatVersion) }

    /// A state from its bytes. They may come from anywhere: everything is checked.
    public init(decoding bytes: [UInt8]) throws(KVMError) {
        do throws(StateError) {
            self = try FieldCoder.decode(bytes, newest: Self.formatVersion, "virtual CPU")
        } catch { throw .badState("\(error)") }
    }
}

// The order and the widths of the fields below are the format, version 1. Add fields at the end of
// `VirtualCPUState.code`, under a check of the version.

extension VirtualCPUState: FieldCoded {
    public mutating func code(_ coder: inout FieldCoder) {
        coder.field(&id)
        coder.optional(&activity)
        coder.field(&general)
        coder.field(&special)
        coder.list(&pageDirectoryPointers, limit: 4)
        let pointers = pageDirectoryPointers.count
        coder.check(pointers == 0 || pointers == 4, "\(pointers) page-directory pointers")
        coder.blob(&extended, limit: 1 << 16)
        coder.list(&extendedControl, limit: ExtendedControlRegister.limit)
        coder.field(&debug)
        coder.optional(&localAPIC)
        coder.list(&modelSpecific, limit: 4096)
        coder.field(&timeStampFrequency)
        coder.list(&cpuid, limit: CPUIDTable.limit)
        coder.blob(&nested, limit: 1 << 16)
        coder.field(&events)
        coder.field(&wallTime)
    }
}

extension VirtualCPU.Activity: FieldCoded {
    public init() { self = .runnable }
    public mutating func code(_ coder: inout FieldCoder) {
        var raw = rawValue
        coder.field(&raw)
        coder.check(Self(rawValue: raw) != nil, "activity \(raw) is unknown")
        self = Self(rawValue: raw) ?? .runnable
    }
}

extension GeneralRegisters: FieldCoded {
    public init() { self.init(rflags: 2) }
    public mutating func code(_ coder: inout FieldCoder) {
        coder.field(&rax)
        coder.field(&rbx)
        coder.field(&rcx)
        coder.field(&rdx)
        coder.field(&rsi)
        coder.field(&rdi)
        coder.field(&rsp)
        coder.field(&rbp)
        coder.field(&r8)
        coder.field(&r9)
        coder.field(&r10)
        coder.field(&r11)
        coder.field(&r12)
        coder.field(&r13)
        coder.field(&r14)
        coder.field(&r15)
        coder.field(&rip)
        coder.field(&rflags)
    }
}

extension Segment: FieldCoded {
    public mutating func code(_ coder: inout FieldCoder) {
        coder.field(&base)
        coder.field(&limit)
        coder.field(&selector)
        coder.field(&type)
        coder.field(&present)
        coder.field(&privilege)
        coder.field(&isDefault32)
        coder.field(&isCodeOrData)
        coder.field(&isLong)
        coder.field(&granularity)
        coder.field(&available)
        coder.field(&unusable)
    }
}

extension DescriptorTable: FieldCoded {
    public init() { self.init(base: 0, limit: 0) }
    public mutating func code(_ coder: inout FieldCoder) {
        coder.field(&base)
        coder.field(&limit)
    }
}

extension SpecialRegisters: FieldCoded {
    public mutating func code(_ coder: inout FieldCoder) {
        coder.field(&cs)
        coder.field(&ds)
        coder.field(&es)
        coder.field(&fs)
        coder.field(&gs)
        coder.field(&ss)
        coder.field(&tr)
        coder.field(&ldt)
        coder.field(&gdt)
        coder.field(&idt)
        coder.field(&cr0)
        coder.field(&cr2)
        coder.field(&cr3)
        coder.field(&cr4)
        coder.field(&cr8)
        coder.field(&efer)
        coder.field(&apicBase)
        var hasInterrupt = pendingInterrupt != nil
        var vector = pendingInterrupt ?? 0
        coder.field(&hasInterrupt)
        coder.field(&vector)
        pendingInterrupt = hasInterrupt ? vector : nil
    }
}

extension ExtendedControlRegister: FieldCoded {
    /// KVM_MAX_XCRS.
    static let limit = 16
    public mutating func code(_ coder: inout FieldCoder) {
        coder.field(&index)
        coder.field(&value)
    }
}

extension DebugRegisters: FieldCoded {
    public mutating func code(_ coder: inout FieldCoder) {
        coder.field(&db0)
        coder.field(&db1)
        coder.field(&db2)
        coder.field(&db3)
        coder.field(&dr6)
        coder.field(&dr7)
    }
}

extension LocalAPIC: FieldCoded {
    public init() { self.init(buffer: KernelBuffer(count: Self.byteCount)) }
    public mutating func code(_ coder: inout FieldCoder) {
        var content = bytes
        coder.fixed(&content)
        self = LocalAPIC(content) ?? self
    }
}

extension ModelSpecificRegister: FieldCoded {
    public init() { self.init(0, 0) }
    public mutating func code(_ coder: inout FieldCoder) {
        coder.field(&index)
        coder.field(&value)
    }
}

extension CPUIDEntry: FieldCoded {
    public init() { self.init(leaf: 0) }
    public mutating func code(_ coder: inout FieldCoder) {
        coder.field(&leaf)
        coder.field(&subleaf)
        coder.field(&hasSubleaves)
        coder.field(&eax)
        coder.field(&ebx)
        coder.field(&ecx)
        coder.field(&edx)
    }
}

extension VirtualCPUEvents: FieldCoded {
    public mutating func code(_ coder: inout FieldCoder) {
        coder.field(&exceptionInjected)
        coder.field(&exceptionVector)
        coder.field(&exceptionHasErrorCode)
        coder.field(&exceptionPending)
        coder.field(&exceptionErrorCode)
        coder.field(&exceptionHasPayload)
        coder.field(&exceptionPayload)
        coder.field(&interruptInjected)
        coder.field(&interruptVector)
        coder.field(&interruptIsSoft)
        coder.field(&interruptShadow)
        coder.field(&nmiInjected)
        coder.field(&nmiPending)
        coder.field(&nmiMasked)
        coder.field(&startupVector)
        coder.field(&flags)
        coder.field(&inSystemManagement)
        coder.field(&systemManagementPending)
        coder.field(&systemManagementInsideNMI)
        coder.field(&initLatched)
        coder.field(&tripleFaultPending)
    }
}
