import Testing

@testable import KVM

@Suite("The encoding of saved state")
struct StateEncodingTests {
    /// A state with something in every part.
    private var vcpu: VirtualCPUState {
        var state = VirtualCPUState()
        state.id = 7
        state.activity = .halted
        state.general.r15 = 0x0123_4567_89AB_CDEF
        state.special.cs = .flat(selector: 0x10, type: 0xB, long: true)
        state.special.pendingInterrupt = 0xEC
        state.pageDirectoryPointers = [1, 2, 3, 4]
        state.extended = [UInt8](repeating: 0x5A, count: 4096)
        var control = ExtendedControlRegister()
        control.value = 7
        state.extendedControl = [control]
        state.debug.dr7 = 0x400
        state.localAPIC = LocalAPIC([UInt8](repeating: 3, count: LocalAPIC.byteCount))
        state.modelSpecific = [ModelSpecificRegister(0x10, 99), ModelSpecificRegister(0x6E0, 1)]
        state.timeStampFrequency = 2_500_000
        state.cpuid = [CPUIDEntry(leaf: 4, subleaf: 1, hasSubleaves: true, eax: 1, ebx: 2, ecx: 3, edx: 4)]
        state.nested = [1, 2, 3]
        state.events.nmiPending = 1
        state.events.tripleFaultPending = true
        return state
    }

    private func machine() throws -> VirtualMachineState {
        var state = VirtualMachineState()
        var controllers = InterruptControllerState()
        controllers.picSlave.mask = 0xFE
        controllers.ioapic.redirections[23] = 0x1_0000
        state.controllers = controllers
        var timer = IntervalTimerState()
        timer.channels[2].loadTime = -5
        state.intervalTimer = timer
        state.clock.nanoseconds = 12345
        state.clock.wallTime = 67890
        state.routes = .fullController(limit: 4096)
        let gsi = try state.routes.allocate()
        try state.routes.set(gsi, .msi(MSIMessage(address: 0xFEE0_0000, data: 0x41)))
        return state
    }

    @Test("a state read back is the state that was written")
    func roundTrip() throws {
        #expect(try VirtualCPUState(decoding: vcpu.encoded()) == vcpu)
        #expect(try VirtualMachineState(decoding: machine().encoded()) == machine())
    }

    @Test("the format begins with its version, and its length does not change by accident")
    func format() throws {
        let bytes = vcpu.encoded()
        // Version 1, vCPU 7, an activity is there and is 3; then RAX.
        #expect(Array(bytes[0..<13]) == [1, 0, 0, 0, 7, 0, 0, 0, 1, 3, 0, 0, 0])
        #expect(bytes.count == 5757)
        #expect(try machine().encoded().count == 1048)
    }

    @Test("a state that ends too early or goes on too long is refused, wherever it is cut")
    func truncation() throws {
        for bytes in try [vcpu.encoded(), machine().encoded()] {
            for count in stride(from: 0, to: bytes.count, by: 7) {
                let cut = Array(bytes[..<count])
                #expect(throws: KVMError.self) { _ = try VirtualCPUState(decoding: cut) }
                #expect(throws: KVMError.self) { _ = try VirtualMachineState(decoding: cut) }
            }
            #expect(throws: KVMError.self) { _ = try VirtualCPUState(decoding: bytes + [0]) }
            #expect(throws: KVMError.self) { _ = try VirtualMachineState(decoding: bytes + [0]) }
        }
    }

    @Test("no byte changed in a state can do more than make it refused or different")
    func corruption() throws {
        for bytes in try [vcpu.encoded(), machine().encoded()] {
            for index in stride(from: 0, to: bytes.count, by: 3) {
                var changed = bytes
                changed[index] ^= 0xFF
                _ = try? VirtualCPUState(decoding: changed).encoded()
                _ = try? VirtualMachineState(decoding: changed).encoded()
            }
        }
    }

    @Test("a version that is not known is named")
    func version() {
        #expect(throws: KVMError.badState("virtual CPU: version 2 is not known; the newest known is 1")) {
            _ = try VirtualCPUState(decoding: [2, 0, 0, 0])
        }
        #expect(throws: KVMError.badState("virtual CPU: 4 bytes are missing at byte 0")) {
            _ = try VirtualCPUState(decoding: [1, 0])
        }
    }
}
