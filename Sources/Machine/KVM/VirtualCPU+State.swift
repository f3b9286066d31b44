import CLinux
import Linux

extension VirtualCPU {
    /// IA32_TSC, IA32_TSC_ADJUST and IA32_TSC_DEADLINE.
    private static let timeStampMSR: UInt32 = 0x10
    private static let timeStampAdjustMSR: UInt32 = 0x3B
    private static let deadlineMSR: UInt32 = 0x6E0
    /// What the kernel's list leaves out although it belongs to the state: the memory type ranges.
    private static let memoryTypeMSRs: [UInt32] =
        Array(0x200...0x20F) + [0x250, 0x258, 0x259] + Array(0x268...0x26F) + [0x2FF]

    /// Takes the vCPU's state. All vCPUs of the machine must stand still, each with its last access completed
    /// (`completeExit`).
    public func saveState() throws(KVMError) -> VirtualCPUState {
        var state = VirtualCPUState()
        state.id = id
        let hasController = machine.configuration.interruptController == .full
        // First: asking for the activity lets a waiting INIT or start-up message act, which may change all of the rest.
        if hasController { state.activity = try activity() }
        state.general = try registers()
        state.special = try specialRegisters()
        state.pageDirectoryPointers = try pageDirectoryPointers()
        state.extended = try extendedState()
        state.extendedControl = try extendedControlRegisters()
        state.debug = try debugRegisters()
        if hasController { state.localAPIC = try localAPIC() }
        state.timeStampFrequency = timeStampFrequency()
        state.cpuid = try cpuid()
        let indices = try stateMSRs()
        state.wallTime = WallTime.now
        state.modelSpecific = try readMSRs(indices)
        if state.cpuid.hasVirtualization { state.nested = try nestedState() }
        // Last: taking the other parts can change what is pending.
        state.events = try events()
        return state
    }

    /// Puts the vCPU in a state taken from one with the same number, here or on another host. Guest memory must be in
    /// place. Restore the machine's state before.
    ///
    /// - Parameter advanceClock: whether the time-stamp counter shows the time that went by since the state was taken, as the machine's
    ///   clock does; otherwise it goes on from where it was.
    public func restoreState(_ state: VirtualCPUState, advanceClock: Bool = false) throws(KVMError) {
        guard state.id == id else { throw .badState("it is that of vCPU \(state.id), not of \(id)") }
        let hasController = machine.configuration.interruptController == .full
        guard hasController == (state.activity != nil), hasController == (state.localAPIC != nil) else {
            throw .badState("the interrupt controllers differ")
        }
        // A vCPU that has run refuses to change its features, but not to keep them.
        if try cpuid().withoutRuntimeBits != state.cpuid.withoutRuntimeBits { try setCPUID(state.cpuid) }
        try setTimeStampFrequency(state.timeStampFrequency)
        if let activity = state.activity { try setActivity(activity) }
        try setRegisters(state.general)
        // Before the local APIC: they hold its base and mode.
        try setSpecialRegisters(state.special)
        try setPageDirectoryPointers(state)
        try setExtendedState(state.extended)
        try setExtendedControlRegisters(state.extendedControl)
        try setDebugRegisters(state.debug)
        // Before the registers with the timer's deadline: it holds the timer's mode.
        if let apic = state.localAPIC { try setLocalAPIC(apic) }
        try restoreMSRs(state, advanceClock)
        if !state.nested.isEmpty { try setNestedState(state.nested) }
        // Last: setting registers drops pending exceptions.
        try setEvents(state.events, startupReceived: state.activity == .startupReceived)
    }

    /// Tells the guest's clock that it was stopped on purpose, so that its watchdogs forgive the gap. For after a pause
    /// or a restore.
    public func forgiveGap() throws(KVMError) {
        do {
            try kvmCall(raw, WAFER_KVM_KVMCLOCK_CTRL, "tell a vCPU's clock of a pause")
        } catch .call(let error) where error.number == EINVAL {
            // The guest does not use the clock.
        }
    }

    // MARK: Parts

    private func pageDirectoryPointers() throws(KVMError) -> [UInt64] {
        guard machine.system.supports(.sregs2) else { return [] }
        var raw = kvm_sregs2()
        try kvmCall(self.raw, WAFER_KVM_GET_SREGS2, &raw, "read a vCPU's page-directory pointers")
        guard raw.flags & UInt64(KVM_SREGS2_FLAGS_PDPTRS_VALID) != 0 else { return [] }
        return [raw.pdptrs.0, raw.pdptrs.1, raw.pdptrs.2, raw.pdptrs.3]
    }

    private func setPageDirectoryPointers(_ state: VirtualCPUState) throws(KVMError) {
        let pointers = state.pageDirectoryPointers
        guard pointers.count == 4, machine.system.supports(.sregs2) else { return }
        // All of the structure is set; read it back so that the rest stays.
        var raw = kvm_sregs2()
        try kvmCall(self.raw, WAFER_KVM_GET_SREGS2, &raw, "read a vCPU's special registers")
        raw.flags = UInt64(KVM_SREGS2_FLAGS_PDPTRS_VALID)
        raw.pdptrs = (pointers[0], pointers[1], pointers[2], pointers[3])
        try kvmCall(self.raw, WAFER_KVM_SET_SREGS2, &raw, "set a vCPU's page-directory pointers")
    }

    /// The size that the kernel wants for the floating-point and vector registers.
    private var extendedStateSize: Int {
        max(MemoryLayout<kvm_xsave>.size, machine.check(.xsave2))
    }

    private func extendedState() throws(KVMError) -> [UInt8] {
        let buffer = KernelBuffer(count: extendedStateSize)
        let request = machine.system.supports(.xsave2) ? WAFER_KVM_GET_XSAVE2 : WAFER_KVM_GET_XSAVE
        try kvmCall(raw, request, buffer, "read a vCPU's vector registers")
        return buffer.bytes
    }

    private func setExtendedState(_ bytes: [UInt8]) throws(KVMError) {
        let size = extendedStateSize
        // A longer state from another host may be cut where nothing is in use.
        guard bytes.dropFirst(size).allSatisfy({ $0 == 0 }) else {
            throw .badState("it uses vector registers that this host lacks")
        }
        let buffer = KernelBuffer(Array(bytes.prefix(size)), count: size)
        try kvmCall(raw, WAFER_KVM_SET_XSAVE, buffer, "set a vCPU's vector registers")
    }

    private func extendedControlRegisters() throws(KVMError) -> [ExtendedControlRegister] {
        // A count, flags, then index, padding and value of each.
        let buffer = KernelBuffer(count: MemoryLayout<kvm_xcrs>.size)
        try kvmCall(raw, WAFER_KVM_GET_XCRS, buffer, "read a vCPU's extended control registers")
        let count = min(ExtendedControlRegister.limit, Int(buffer.load(at: 0, as: UInt32.self)))
        return (0..<count).map {
            var register = ExtendedControlRegister()
            register.index = buffer.load(at: 8 + $0 * 16)
            register.value = buffer.load(at: 16 + $0 * 16)
            return register
        }
    }

    private func setExtendedControlRegisters(_ registers: [ExtendedControlRegister]) throws(KVMError) {
        let count = min(ExtendedControlRegister.limit, registers.count)
        guard count > 0 else { return }
        let buffer = KernelBuffer(count: MemoryLayout<kvm_xcrs>.size)
        buffer.store(UInt32(count), at: 0)
        for position in 0..<count {
            buffer.store(registers[position].index, at: 8 + position * 16)
            buffer.store(registers[position].value, at: 16 + position * 16)
        }
        try kvmCall(raw, WAFER_KVM_SET_XCRS, buffer, "set a vCPU's extended control registers")
    }

    private func debugRegisters() throws(KVMError) -> DebugRegisters {
        var raw = kvm_debugregs()
        try kvmCall(self.raw, WAFER_KVM_GET_DEBUGREGS, &raw, "read a vCPU's debug registers")
        return DebugRegisters(raw)
    }

    private func setDebugRegisters(_ registers: DebugRegisters) throws(KVMError) {
        var raw = registers.raw
        try kvmCall(self.raw, WAFER_KVM_SET_DEBUGREGS, &raw, "set a vCPU's debug registers")
    }

    private func events() throws(KVMError) -> VirtualCPUEvents {
        var raw = kvm_vcpu_events()
        try kvmCall(self.raw, WAFER_KVM_GET_VCPU_EVENTS, &raw, "read a vCPU's events")
        return VirtualCPUEvents(raw)
    }

    private func setEvents(_ events: VirtualCPUEvents, startupReceived: Bool) throws(KVMError) {
        var raw = events.raw
        // The kernel reports these two parts without marking them as valid.
        raw.flags |= UInt32(KVM_VCPUEVENT_VALID_NMI_PENDING)
        if startupReceived { raw.flags |= UInt32(KVM_VCPUEVENT_VALID_SIPI_VECTOR) }
        try kvmCall(self.raw, WAFER_KVM_SET_VCPU_EVENTS, &raw, "set a vCPU's events")
    }

    // MARK: Time

    /// How fast the guest's time-stamp counter counts, in kHz; 0 if the kernel cannot say.
    public func timeStampFrequency() -> UInt32 {
        guard machine.system.supports(.getTSCFrequency) else { return 0 }
        return UInt32(clamping: wafer_ioctl(raw, WAFER_KVM_GET_TSC_KHZ, 0))
    }

    /// Small differences are measuring errors between hosts: those the guest's own clock discipline corrects.
    private func setTimeStampFrequency(_ frequency: UInt32) throws(KVMError) {
        let current = timeStampFrequency()
        guard frequency != 0, current != 0 else { return }
        let difference = UInt64(max(frequency, current) - min(frequency, current))
        guard difference * 1_000_000 > UInt64(current) * 250 else { return }
        guard machine.system.supports(.tscControl) else {
            throw .badState("its time-stamp counter runs at \(frequency) kHz, this host's at \(current) kHz")
        }
        try kvmCall(
            raw, WAFER_KVM_SET_TSC_KHZ, argument: UInt(frequency), "set the frequency of a vCPU's time-stamp counter")
    }

    // MARK: Model-specific registers

    private func stateMSRs() throws(KVMError) -> [UInt32] {
        var indices = try machine.system.stateMSRs()
        var known = Set(indices)
        // IA32_MCG_CAP holds the number of machine-check banks, of four registers each.
        let banks = try readMSRs([0x179]).first.map { UInt32($0.value & 0x1F) } ?? 0
        for index in Self.memoryTypeMSRs + Array(0x400..<0x400 + banks * 4) where known.insert(index).inserted {
            indices.append(index)
        }
        return indices
    }

    private func restoreMSRs(_ state: VirtualCPUState, _ advanceClock: Bool) throws(KVMError) {
        var registers = state.modelSpecific
        if advanceClock, let place = registers.firstIndex(where: { $0.index == Self.timeStampMSR }) {
            registers[place].value &+= state.timeStampAdvance()
        }
        // The counter first, as all deadlines refer to it, and the deadline last, when the timer's mode is known.
        let early = [Self.timeStampMSR, Self.timeStampAdjustMSR]
        var ordered = registers.filter { early.contains($0.index) }
        ordered += registers.filter { !early.contains($0.index) && $0.index != Self.deadlineMSR }
        ordered += registers.filter { $0.index == Self.deadlineMSR }
        var rest = ordered[...]
        while !rest.isEmpty {
            do {
                try writeMSRs(Array(rest))
                return
            } catch .registerRefused(let index, let value) {
                // Some can be read but not set, such as those that the processor's features determine.
                guard try readMSRs([index]).first?.value == value,
                    let position = rest.firstIndex(where: { $0.index == index })
                else { throw .registerRefused(index: index, value: value) }
                rest = rest[(position + 1)...]
            }
        }
    }

    // MARK: Nested virtualisation

    private func nestedState() throws(KVMError) -> [UInt8] {
        let size = machine.check(.nestedState)
        guard size >= 8 else { return [] }
        // The header holds flags, format and, at byte 4, the size of all.
        let buffer = KernelBuffer(count: size)
        buffer.store(UInt32(size), at: 4)
        try kvmCall(raw, WAFER_KVM_GET_NESTED_STATE, buffer, "read a vCPU's nested state")
        return Array(buffer.bytes.prefix(Int(buffer.load(at: 4, as: UInt32.self))))
    }

    private func setNestedState(_ bytes: [UInt8]) throws(KVMError) {
        let buffer = KernelBuffer(bytes, count: max(bytes.count, MemoryLayout<kvm_nested_state>.size))
        // The kernel reads as much as the size in the header says.
        guard buffer.load(at: 4, as: UInt32.self) == UInt32(bytes.count) else {
            throw .badState("its nested state has a wrong size")
        }
        try kvmCall(raw, WAFER_KVM_SET_NESTED_STATE, buffer, "set a vCPU's nested state")
    }
}

extension [CPUIDEntry] {
    /// Without what the kernel keeps up to date while the guest runs: whether it has its APIC, XSAVE and protection
    /// keys switched on, and how large its vector state is.
    var withoutRuntimeBits: [CPUIDEntry] {
        map { entry in
            var entry = entry
            switch (entry.leaf, entry.subleaf) {
            case (1, _):
                entry.ecx &= ~(1 << 27)
                entry.edx &= ~(1 << 9)
            case (7, 0): entry.ecx &= ~(1 << 4)
            case (0xD, 0), (0xD, 1): entry.ebx = 0
            default: break
            }
            return entry
        }
    }

    /// Whether the guest is offered virtualisation of its own: VMX (leaf 1, ECX bit 5) or SVM (leaf 0x80000001, ECX bit
    /// 2).
    var hasVirtualization: Bool {
        contains { $0.leaf == 1 && $0.ecx & (1 << 5) != 0 || $0.leaf == 0x8000_0001 && $0.ecx & (1 << 2) != 0 }
    }
}
