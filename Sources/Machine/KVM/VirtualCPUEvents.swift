import CLinux

/// Interrupts and exceptions on their way into a vCPU (`struct kvm_vcpu_events`).
public struct VirtualCPUEvents: Hashable, Sendable {
    public var exceptionInjected = false
    public var exceptionVector: UInt8 = 0
    public var exceptionHasErrorCode = false
    public var exceptionPending = false
    public var exceptionErrorCode: UInt32 = 0
    public var exceptionHasPayload = false
    public var exceptionPayload: UInt64 = 0
    public var interruptInjected = false
    public var interruptVector: UInt8 = 0
    public var interruptIsSoft = false
    /// The kernel's `KVM_X86_SHADOW_INT_…`: interrupts are held off for one instruction.
    public var interruptShadow: UInt8 = 0
    public var nmiInjected = false
    public var nmiPending: UInt8 = 0
    public var nmiMasked = false
    /// Where the processor starts when it got a start-up message: this times 4096.
    public var startupVector: UInt32 = 0
    /// The kernel's `KVM_VCPUEVENT_VALID_…`: which of the optional parts it filled.
    public var flags: UInt32 = 0
    public var inSystemManagement = false
    public var systemManagementPending = false
    public var systemManagementInsideNMI = false
    public var initLatched = false
    public var tripleFaultPending = false

    public init() {}

    init(_ raw: kvm_vcpu_events) {
        exceptionInjected = raw.exception.injected != 0
        exceptionVector = raw.exception.nr
        exceptionHasErrorCode = raw.exception.has_error_code != 0
        exceptionPending = raw.exception.pending != 0
        exceptionErrorCode = raw.exception.error_code
        exceptionHasPayload = raw.exception_has_payload != 0
        exceptionPayload = raw.exception_payload
        interruptInjected = raw.interrupt.injected != 0
        interruptVector = raw.interrupt.nr
        interruptIsSoft = raw.interrupt.soft != 0
        interruptShadow = raw.interrupt.shadow
        nmiInjected = raw.nmi.injected != 0
        nmiPending = raw.nmi.pending
        nmiMasked = raw.nmi.masked != 0
        startupVector = raw.sipi_vector
        flags = raw.flags
        inSystemManagement = raw.smi.smm != 0
        systemManagementPending = raw.smi.pending != 0
        systemManagementInsideNMI = raw.smi.smm_inside_nmi != 0
        initLatched = raw.smi.latched_init != 0
        tripleFaultPending = raw.triple_fault.pending != 0
    }

    var raw: kvm_vcpu_events {
        var raw = kvm_vcpu_events()
        raw.exception.injected = exceptionInjected ? 1 : 0
        raw.exception.nr = exceptionVector
        raw.exception.has_error_code = exceptionHasErrorCode ? 1 : 0
        raw.exception.pending = exceptionPending ? 1 : 0
        raw.exception.error_code = exceptionErrorCode
        raw.exception_has_payload = exceptionHasPayload ? 1 : 0
        raw.exception_payload = exceptionPayload
        raw.interrupt.injected = interruptInjected ? 1 : 0
        raw.interrupt.nr = interruptVector
        raw.interrupt.soft = interruptIsSoft ? 1 : 0
        raw.interrupt.shadow = interruptShadow
        raw.nmi.injected = nmiInjected ? 1 : 0
        raw.nmi.pending = nmiPending
        raw.nmi.masked = nmiMasked ? 1 : 0
        raw.sipi_vector = startupVector
        raw.flags = flags
        raw.smi.smm = inSystemManagement ? 1 : 0
        raw.smi.pending = systemManagementPending ? 1 : 0
        raw.smi.smm_inside_nmi = systemManagementInsideNMI ? 1 : 0
        raw.smi.latched_init = initLatched ? 1 : 0
        raw.triple_fault.pending = tripleFaultPending ? 1 : 0
        return raw
    }
}

/// The debug registers (`struct kvm_debugregs`).
public struct DebugRegisters: Hashable, Sendable {
    public var db0: UInt64 = 0
    public var db1: UInt64 = 0
    public var db2: UInt64 = 0
    public var db3: UInt64 = 0
    public var dr6: UInt64 = 0
    public var dr7: UInt64 = 0

    public init() {}

    init(_ raw: kvm_debugregs) {
        (db0, db1, db2, db3) = raw.db
        (dr6, dr7) = (raw.dr6, raw.dr7)
    }

    var raw: kvm_debugregs {
        var raw = kvm_debugregs()
        raw.db = (db0, db1, db2, db3)
        (raw.dr6, raw.dr7) = (dr6, dr7)
        return raw
    }
}

/// One extended control register and its value.
public struct ExtendedControlRegister: Hashable, Sendable {
    public var index: UInt32 = 0
    public var value: UInt64 = 0

    public init() {}
}
