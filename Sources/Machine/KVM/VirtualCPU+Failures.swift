import CLinux

extension VirtualCPU {
    /// Why the processor refused the guest's state. For logs.
    public struct EntryFailure: Hashable, Sendable, CustomStringConvertible {
        /// The processor's own code.
        public let reason: UInt64
        /// The host processor on which it happened.
        public let processor: UInt32

        public var description: String { "the processor refused to enter the guest, reason \(hex(reason))" }
    }

    /// Meaningful after `.entryFailure` only.
    public var entryFailure: EntryFailure {
        let failure = unsafe page.pointee.fail_entry
        return EntryFailure(reason: failure.hardware_entry_failure_reason, processor: failure.cpu)
    }

    /// Why KVM cannot go on. For logs.
    public struct InternalError: Hashable, Sendable, CustomStringConvertible {
        /// The kernel's `KVM_INTERNAL_ERROR_…`.
        public let code: UInt32
        /// Numbers whose meaning depends on the code.
        public let data: [UInt64]

        public var description: String {
            let what =
                switch CInt(truncatingIfNeeded: code) {
                case KVM_INTERNAL_ERROR_EMULATION: "an instruction it cannot emulate"
                case KVM_INTERNAL_ERROR_SIMUL_EX: "two exceptions at once"
                case KVM_INTERNAL_ERROR_DELIVERY_EV: "an exit while it delivered an event"
                case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: "an exit it does not know"
                default: "error \(code)"
                }
            return "KVM met \(what)" + (data.isEmpty ? "" : ", data \(data.map(hex).joined(separator: " "))")
        }
    }

    /// Meaningful after `.internalError` only. Allocates: the machine ends here.
    public var internalError: InternalError {
        let error = unsafe page.pointee.internal
        let all = unsafe withUnsafeBytes(of: error.data) { unsafe Array($0.bindMemory(to: UInt64.self)) }
        return InternalError(code: error.suberror, data: Array(all.prefix(Int(error.ndata))))
    }

    /// What the guest asked for by a system interface: the kernel's `KVM_SYSTEM_EVENT_…` (1 shutdown, 2 reset, 3
    /// crash). Meaningful after `.systemEvent` only.
    public var systemEvent: UInt32 { unsafe page.pointee.system_event.type }

    /// Answers `.hyperV`: calls that KVM leaves to user space (messages and events between partitions) do not exist here.
    /// Where a guest only moved pages of its interrupt controller there is nothing to answer.
    public func refuseHyperVCall() {
        guard unsafe page.pointee.hyperv.type == UInt32(KVM_EXIT_HYPERV_HCALL) else { return }
        // HV_STATUS_INVALID_HYPERCALL_CODE (Hypervisor Top-Level Functional Specification 6.0, appendix B).
        unsafe page.pointee.hyperv.u.hcall.result = 2
    }

    /// The vector whose end was signalled. Meaningful after `.endOfInterrupt` only.
    public var endedVector: UInt8 { unsafe page.pointee.eoi.vector }

    /// An access to a model-specific register that is to be served here.
    public struct RegisterAccess: Hashable, Sendable {
        public let index: UInt32
        /// What the guest writes; zero for reads.
        public let value: UInt64
        public let isWrite: Bool
    }

    /// Meaningful after `.readRegister` and `.writeRegister` only.
    public var registerAccess: RegisterAccess {
        let msr = unsafe page.pointee.msr
        let isWrite = unsafe page.pointee.exit_reason == UInt32(KVM_EXIT_X86_WRMSR)
        return RegisterAccess(index: msr.index, value: isWrite ? msr.data : 0, isWrite: isWrite)
    }

    /// Answers the access to a model-specific register.
    ///
    /// - Parameter value: what a read gives, or anything for a write; nil to raise a general protection fault.
    public func answerRegisterAccess(_ value: UInt64?) {
        unsafe page.pointee.msr.data = value ?? 0
        unsafe page.pointee.msr.error = value == nil ? 1 : 0
    }
}
