import KVM
import Linux
import Testing

@Suite("Saved state of a real machine", .enabled(if: KVMSystem.isAvailable, skipReason))
struct StateTests {
    /// Adds 10, 9, … 1 and writes each sum to port 0x80.
    static let sums: [UInt8] = [
        0x31, 0xC0,  // xor ax, ax
        0xB9, 0x0A, 0x00,  // mov cx, 10
        0x01, 0xC8,  // again: add ax, cx
        0xE7, 0x80,  // out 0x80, ax
        0xA3, 0x00, 0x20,  // mov [0x2000], ax
        0x49,  // dec cx
        0x75, 0xF6,  // jnz again
        0xF4,  // hlt
    ]

    /// Runs until the guest halts.
    private func outputs(_ vcpu: VirtualCPU) -> [UInt32] {
        var outputs: [UInt32] = []
        while outputs.count < 20 {
            switch vcpu.run() {
            case .port: outputs.append(vcpu.value(of: vcpu.portAccess))
            case .halt: return outputs
            case let exit:
                Issue.record("unexpected exit \(exit)")
                return outputs
            }
        }
        return outputs
    }

    @Test("a payload goes on in another machine as if nothing had happened")
    func roundTrip() throws {
        let source = try Payload(Self.sums)
        for _ in 0..<4 { #expect(source.vcpu.run() == .port) }
        #expect(source.vcpu.completeExit() == .interrupted)
        let bytes = try source.vcpu.saveState().encoded()
        let machineBytes = try source.machine.saveState().encoded()

        let target = try Payload([])
        target.memory.base.copyMemory(from: source.memory.base, byteCount: source.memory.count)
        try target.machine.restoreState(VirtualMachineState(decoding: machineBytes))
        try target.vcpu.restoreState(VirtualCPUState(decoding: bytes))
        #expect(outputs(target.vcpu) == [40, 45, 49, 52, 54, 55])
        #expect(target.word(at: 0x2000) == 55)

        // The source is still whole.
        source.vcpu.clearExitRequest()
        #expect(outputs(source.vcpu) == [40, 45, 49, 52, 54, 55])
    }

    @Test("a state taken before the first instruction is a reset")
    func reset() throws {
        let payload = try Payload(Self.sums)
        let powerOn = try payload.vcpu.saveState()
        #expect(outputs(payload.vcpu).last == 55)
        try payload.vcpu.restoreState(powerOn)
        #expect(outputs(payload.vcpu) == [10, 19, 27, 34, 40, 45, 49, 52, 54, 55])
    }

    @Test("an interrupt that was pending when the state was taken arrives after it is restored")
    func pendingInterrupt() throws {
        func start(_ code: [UInt8]) throws -> Payload {
            let payload = try Payload(code, interruptController: .full)
            (payload.memory.base + 0x1100).copyMemory(
                from: VirtualMachineTests.interruptHandler, byteCount: VirtualMachineTests.interruptHandler.count)
            try payload.vcpu.acceptLegacyInterrupts()
            return payload
        }
        let source = try start(VirtualMachineTests.interruptCode)
        #expect(source.vcpu.run() == .port)
        #expect(source.vcpu.completeExit() == .interrupted)
        // Before the guest enables interrupts.
        try source.machine.setLine(4, true)
        let machineState = try source.machine.saveState()
        let vcpuState = try source.vcpu.saveState()
        #expect(vcpuState.activity == .runnable)

        let target = try start([])
        target.memory.base.copyMemory(from: source.memory.base, byteCount: source.memory.count)
        try target.machine.restoreState(machineState, advanceClock: true)
        try target.vcpu.restoreState(vcpuState)
        try target.vcpu.forgiveGap()
        #expect(target.vcpu.run() == .port)
        #expect(target.vcpu.value(of: target.vcpu.portAccess) == 2)
    }

    @Test("what is restored is what was saved")
    func equality() throws {
        let source = try Payload(Self.sums, interruptController: .full)
        var registers = try source.vcpu.registers()
        (registers.rax, registers.r15, registers.rdi) = (1, UInt64.max, 0x1234_5678_9ABC_DEF0)
        try source.vcpu.setRegisters(registers)
        let state = try source.vcpu.saveState()
        #expect(try VirtualCPUState(decoding: state.encoded()) == state)
        let target = try Payload([], interruptController: .full)
        try target.vcpu.restoreState(state)
        var copy = try target.vcpu.saveState()
        #expect(copy.general == state.general)
        #expect(copy.special == state.special)
        #expect(copy.extended == state.extended)
        #expect(copy.extendedControl == state.extendedControl)
        #expect(copy.debug == state.debug)
        #expect(copy.localAPIC == state.localAPIC)
        #expect(copy.cpuid == state.cpuid)
        // Time goes on: IA32_TSC.
        let still = { (state: VirtualCPUState) in state.modelSpecific.filter { $0.index != 0x10 } }
        #expect(still(copy) == still(state))
        copy = try source.vcpu.saveState()
        #expect(copy.events == state.events)

        let machine = try source.machine.saveState()
        #expect(try VirtualMachineState(decoding: machine.encoded()) == machine)
        try target.machine.restoreState(machine, keepRoutes: true)
        #expect(try target.machine.saveState().controllers == machine.controllers)
    }

    @Test("a state of another vCPU or another kind of machine is refused")
    func refusals() throws {
        let plain = try Payload([])
        let full = try Payload([], interruptController: .full)
        let state = try plain.vcpu.saveState()
        #expect(throws: KVMError.badState("the interrupt controllers differ")) { try full.vcpu.restoreState(state) }
        #expect(throws: KVMError.self) { try full.machine.restoreState(plain.machine.saveState()) }
    }
}
