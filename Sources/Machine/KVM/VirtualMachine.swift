import CLinux
import Linux
import Synchronization

/// One virtual machine as KVM knows it: its memory map, interrupt controllers, and doorbells.
///
/// All methods may be called from any thread. Memory handed to the machine must stay mapped until it is removed or the
/// machine and all its vCPUs are gone.
public final class VirtualMachine: Sendable {
    /// Which interrupt controllers KVM emulates.
    public enum InterruptController: Sendable {
        /// None: HLT exits, and there are no interrupts. For tests of small payloads.
        case none
        /// PIC, IOAPIC and LAPICs in the kernel.
        case full
    }

    /// What must be known before the machine exists.
    public struct Configuration: Sendable {
        public var interruptController = InterruptController.full
        /// Whether KVM emulates the interval timer at ports 0x40 to 0x43, and the speaker gate at 0x61.
        public var intervalTimer = true
        /// Where KVM keeps three pages of its own in the guest's address space (Intel without unrestricted guest).
        public var taskStateAddress: UInt64 = 0xFEFF_D000
        /// Where KVM keeps a one-page identity map in the guest's address space (likewise).
        public var identityMapAddress: UInt64 = 0xFEFF_C000
        /// One more than the largest vCPU number. Above 254 the interrupt interface is switched to 32-bit APIC ids.
        public var vcpuIDLimit: UInt32 = 1

        public init() {}
    }

    public let system: KVMSystem
    public let configuration: Configuration
    private let descriptor: Descriptor
    /// Guards the slots and orders the calls that change them, so that both always agree.
    let memory: Mutex<MemoryMap>
    /// Guards the routes and orders the calls that change them, so that both always agree.
    let routes: Mutex<InterruptRoutes>
    /// Flags of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 that are on; 0 if the log is cleared by reading.
    let manualDirtyLog: UInt64

    /// Makes a machine without memory and vCPUs.
    public init(_ system: KVMSystem, _ configuration: Configuration = Configuration()) throws(KVMError) {
        self.system = system
        self.configuration = configuration
        let descriptor = Descriptor(adopting: try kvmCall(system.raw, WAFER_KVM_CREATE_VM, "create a virtual machine"))
        let raw = descriptor.raw
        self.descriptor = descriptor
        memory = Mutex(MemoryMap(slots: MemorySlots(limit: max(1, system.check(.memorySlots)))))

        var identityMap = configuration.identityMapAddress
        try kvmCall(raw, WAFER_KVM_SET_IDENTITY_MAP_ADDR, &identityMap, "place the identity map")
        try kvmCall(
            raw, WAFER_KVM_SET_TSS_ADDR, argument: UInt(configuration.taskStateAddress), "place the task state segment")

        // Bit 0: clearing is a step of its own. Bit 1: all pages count as written when the log is switched on.
        manualDirtyLog = UInt64(system.check(.manualDirtyLogProtect2)) & 3
        if manualDirtyLog != 0 { try Self.enable(raw, .manualDirtyLogProtect2, [manualDirtyLog]) }

        // Exceptions on their way into a vCPU are part of its state; without these the kernel tells less than all of
        // it.
        for capability in [Capability.exceptionPayload, .tripleFaultEvent] where system.supports(capability) {
            try Self.enable(raw, capability, [1])
        }

        if configuration.vcpuIDLimit > 254 {
            let flags: UInt64 = UInt64(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
            guard UInt64(system.check(.x2apicAPI)) & flags == flags else {
                throw .unsupported("more than 254 vCPUs")
            }
            try Self.enable(raw, .x2apicAPI, [flags])
        }

        switch configuration.interruptController {
        case .none:
            routes = Mutex(InterruptRoutes(limit: 0))
        case .full:
            try kvmCall(raw, WAFER_KVM_CREATE_IRQCHIP, "create the interrupt controllers")
            if configuration.intervalTimer {
                var pit = kvm_pit_config()
                pit.flags = UInt32(KVM_PIT_SPEAKER_DUMMY)
                try kvmCall(raw, WAFER_KVM_CREATE_PIT2, &pit, "create the interval timer")
            }
            let limit = UInt32(clamping: system.check(.irqRouting))
            let initial = InterruptRoutes.fullController(limit: limit)
            try kvmCall(raw, WAFER_KVM_SET_GSI_ROUTING, initial.encoded(), "set interrupt routes")
            routes = Mutex(initial)
        }
    }

    /// The machine's descriptor, borrowed.
    public var raw: CInt { descriptor.raw }

    /// What KVM says of a capability of this machine, which may differ from the system's answer.
    public func check(_ capability: Capability) -> Int {
        max(0, Int(wafer_ioctl(raw, WAFER_KVM_CHECK_EXTENSION, UInt(bitPattern: Int(capability.rawValue)))))
    }

    /// Switches a capability on. Most must be switched on before the first vCPU.
    ///
    /// - Parameter arguments: at most four, as the kernel documents for the capability.
    public func enable(_ capability: Capability, _ arguments: [UInt64] = []) throws(KVMError) {
        try Self.enable(raw, capability, arguments)
    }

    private static func enable(_ raw: CInt, _ capability: Capability, _ arguments: [UInt64]) throws(KVMError) {
        precondition(arguments.count <= 4, "a capability takes four arguments")
        var request = kvm_enable_cap()
        request.cap = UInt32(bitPattern: capability.rawValue)
        let padded = arguments + [UInt64](repeating: 0, count: 4 - arguments.count)
        request.args = (padded[0], padded[1], padded[2], padded[3])
        try kvmCall(raw, WAFER_KVM_ENABLE_CAP, &request, "enable a KVM capability")
    }
}
