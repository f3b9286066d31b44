import CLinux

/// Something KVM may or may not be able to do; the numbers are the kernel's `KVM_CAP_…`.
public struct Capability: RawRepresentable, Hashable, Sendable {
    public let rawValue: CInt
    public init(rawValue: CInt) { self.rawValue = rawValue }
    init(_ rawValue: CInt) { self.rawValue = rawValue }

    /// Interrupt controllers in the kernel.
    public static let irqchip = Capability(KVM_CAP_IRQCHIP)
    /// The value is the number of memory slots.
    public static let memorySlots = Capability(KVM_CAP_NR_MEMSLOTS)
    /// The value is how many vCPUs a machine should have at most.
    public static let recommendedVCPUs = Capability(KVM_CAP_NR_VCPUS)
    /// The value is how many vCPUs a machine can have.
    public static let maximumVCPUs = Capability(KVM_CAP_MAX_VCPUS)
    /// The value is one more than the largest vCPU number (APIC id).
    public static let maximumVCPUID = Capability(KVM_CAP_MAX_VCPU_ID)
    /// The interval timer in the kernel, with a configuration.
    public static let pit2 = Capability(KVM_CAP_PIT2)
    /// The value is how many interrupt routes a machine can have.
    public static let irqRouting = Capability(KVM_CAP_IRQ_ROUTING)
    /// Interrupts raised by an eventfd.
    public static let irqfd = Capability(KVM_CAP_IRQFD)
    /// Level interrupts raised by an eventfd, with notice of the end of interrupt.
    public static let irqfdResample = Capability(KVM_CAP_IRQFD_RESAMPLE)
    /// Guest writes that signal an eventfd without leaving the kernel.
    public static let ioeventfd = Capability(KVM_CAP_IOEVENTFD)
    /// Doorbells that do not look at the width of a write.
    public static let ioeventfdAnyLength = Capability(KVM_CAP_IOEVENTFD_ANY_LENGTH)
    /// Message-signalled interrupts injected directly.
    public static let signalMSI = Capability(KVM_CAP_SIGNAL_MSI)
    /// Guest memory that the guest can read but whose writes exit.
    public static let readOnlyMemory = Capability(KVM_CAP_READONLY_MEM)
    /// A flag that makes the next run return at once.
    public static let immediateExit = Capability(KVM_CAP_IMMEDIATE_EXIT)
    /// The guest's clock; the value holds its flags.
    public static let adjustClock = Capability(KVM_CAP_ADJUST_CLOCK)
    /// The guest's time-stamp counter can run at another frequency than the host's.
    public static let tscControl = Capability(KVM_CAP_TSC_CONTROL)
    /// The frequency of the time-stamp counter can be read.
    public static let getTSCFrequency = Capability(KVM_CAP_GET_TSC_KHZ)
    /// The LAPIC timer's deadline mode.
    public static let tscDeadlineTimer = Capability(KVM_CAP_TSC_DEADLINE_TIMER)
    /// Hyper-V's interrupt controller of a vCPU, and its timers; not in use before it is enabled.
    public static let hyperVInterruptController = Capability(KVM_CAP_HYPERV_SYNIC2)
    /// What KVM has of Hyper-V's interfaces can be asked for before there is a vCPU.
    public static let hyperVLeaves = Capability(KVM_CAP_SYS_HYPERV_CPUID)
    /// APIC ids of 32 bits in the interface; the value holds the flags that can be enabled.
    public static let x2apicAPI = Capability(KVM_CAP_X2APIC_API)
    /// Instructions that need not exit; the value holds the flags that can be enabled.
    public static let disableExits = Capability(KVM_CAP_X86_DISABLE_EXITS)
    /// Exceptions with their payload in the vCPU's events.
    public static let exceptionPayload = Capability(KVM_CAP_EXCEPTION_PAYLOAD)
    /// Triple faults pending in the vCPU's events.
    public static let tripleFaultEvent = Capability(KVM_CAP_X86_TRIPLE_FAULT_EVENT)
    /// The dirty log can be read and cleared in separate steps; the value holds the flags that can be enabled.
    public static let manualDirtyLogProtect2 = Capability(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)
    /// The value is the size of the extended processor state.
    public static let xsave2 = Capability(KVM_CAP_XSAVE2)
    /// Special registers with the page-directory pointers.
    public static let sregs2 = Capability(KVM_CAP_SREGS2)
    /// The value is the size of the nested virtualisation state.
    public static let nestedState = Capability(KVM_CAP_NESTED_STATE)
    /// Registers visible in the run structure; the value holds which.
    public static let syncRegs = Capability(KVM_CAP_SYNC_REGS)
    /// Machine-check banks; the value is their number.
    public static let machineCheck = Capability(KVM_CAP_MCE)
    /// Accesses to unknown model-specific registers can exit.
    public static let userSpaceMSR = Capability(KVM_CAP_X86_USER_SPACE_MSR)
    /// Accesses to chosen model-specific registers can be denied or exit.
    public static let msrFilter = Capability(KVM_CAP_X86_MSR_FILTER)
    /// How long the host may poll for a halted vCPU's wake-up.
    public static let haltPoll = Capability(KVM_CAP_HALT_POLL)
}
