import CLinux

extension VirtualCPU {
    /// The general registers.
    public func registers() throws(KVMError) -> GeneralRegisters {
        var raw = kvm_regs()
        try kvmCall(self.raw, WAFER_KVM_GET_REGS, &raw, "read a vCPU's registers")
        return GeneralRegisters(raw)
    }

    /// Sets the general registers. Pending exceptions are lost.
    public func setRegisters(_ registers: GeneralRegisters) throws(KVMError) {
        var raw = registers.raw
        try kvmCall(self.raw, WAFER_KVM_SET_REGS, &raw, "set a vCPU's registers")
    }

    /// Segments, descriptor tables and control registers.
    public func specialRegisters() throws(KVMError) -> SpecialRegisters {
        var raw = kvm_sregs()
        try kvmCall(self.raw, WAFER_KVM_GET_SREGS, &raw, "read a vCPU's special registers")
        return SpecialRegisters(raw)
    }

    /// Sets segments, descriptor tables and control registers.
    public func setSpecialRegisters(_ registers: SpecialRegisters) throws(KVMError) {
        var raw = registers.raw
        try kvmCall(self.raw, WAFER_KVM_SET_SREGS, &raw, "set a vCPU's special registers")
    }

    /// What the guest's CPUID instruction answers.
    public func cpuid() throws(KVMError) -> [CPUIDEntry] {
        try CPUIDTable.read(raw, WAFER_KVM_GET_CPUID2, "read a vCPU's processor features")
    }

    /// Sets what the guest's CPUID instruction answers. Before the first `run`.
    public func setCPUID(_ entries: [CPUIDEntry]) throws(KVMError) {
        try CPUIDTable.write(raw, WAFER_KVM_SET_CPUID2, entries, "set a vCPU's processor features")
    }

    /// Gives the vCPU Hyper-V's interrupt controller and timers. Before the first `run`.
    public func enableHyperVInterruptController() throws(KVMError) {
        var request = kvm_enable_cap()
        request.cap = UInt32(bitPattern: Capability.hyperVInterruptController.rawValue)
        try kvmCall(raw, WAFER_KVM_ENABLE_CAP, &request, "enable a vCPU's Hyper-V interrupt controller")
    }

    /// Reads model-specific registers; those that the kernel does not know are left out.
    public func readMSRs(_ indices: [UInt32]) throws(KVMError) -> [ModelSpecificRegister] {
        try MSRTable.read(raw, indices)
    }

    /// Writes model-specific registers in the order given.
    public func writeMSRs(_ registers: [ModelSpecificRegister]) throws(KVMError) {
        try MSRTable.write(raw, registers)
    }

    /// Whether a vCPU runs, waits to be started, or has halted (`KVM_MP_STATE_…`).
    public enum Activity: UInt32, Hashable, Sendable {
        case runnable = 0
        /// Waits for INIT, as all but the first processor do after power-on.
        case uninitialized = 1
        /// Got INIT, waits for the start-up message.
        case initialized = 2
        case halted = 3
        case startupReceived = 4
    }

    /// Whether the vCPU runs. Needs interrupt controllers in the kernel.
    public func activity() throws(KVMError) -> Activity {
        var raw = kvm_mp_state()
        try kvmCall(self.raw, WAFER_KVM_GET_MP_STATE, &raw, "read a vCPU's activity")
        guard let activity = Activity(rawValue: raw.mp_state) else {
            throw .badState("a vCPU's activity \(raw.mp_state) is unknown")
        }
        return activity
    }

    /// Sets whether the vCPU runs. Needs interrupt controllers in the kernel.
    public func setActivity(_ activity: Activity) throws(KVMError) {
        var raw = kvm_mp_state(mp_state: activity.rawValue)
        try kvmCall(self.raw, WAFER_KVM_SET_MP_STATE, &raw, "set a vCPU's activity")
    }

    /// Raises a non-maskable interrupt.
    public func raiseNMI() throws(KVMError) {
        try kvmCall(raw, WAFER_KVM_NMI, "raise a non-maskable interrupt")
    }
}
