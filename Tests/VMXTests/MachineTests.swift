import Chipset
import DeviceModel
import GuestMemory
import KVM
import Linux
import Synchronization
import Testing

@testable import VMX

/// Collects what the guest writes to its serial port.
final class Transcript: CharacterBackend {
    let bytes = Mutex<[UInt8]>([])
    var text: String { String(decoding: bytes.withLock { $0 }, as: UTF8.self) }
    func transmit(_ bytes: Span<UInt8>) {
        for index in bytes.indices { self.bytes.withLock { $0.append(bytes[index]) } }
    }
    func setReceiver(_ receiver: (any CharacterReceiver)?) {}
    func receiverHasRoom() {}
}

/// Machines with payloads of a few instructions instead of a system. They run in real mode from 0x7c00.
@Suite(
    "Machine", .serialized,
    .enabled(if: KVMSystem.isAvailable, "KVM is not available: \(KVMSystem.probe().map { "\($0)" } ?? "")"))
struct MachineTests {
    /// Runs a payload until the machine ends or `during` says so.
    func run(
        _ code: [UInt8], processors: Int = 1, until resets: Int? = nil, during: (@Sendable (Machine) -> Void)? = nil,
        with change: (inout Machine.Shape) -> Void = { _ in }
    ) throws -> (state: Machine.State, text: String, resets: Int) {
        let loop = try EventLoop(name: "test")
        let deviceLoop = try EventLoop(name: "devices")
        try deviceLoop.start()
        defer { deviceLoop.stop() }
        let transcript = Transcript()
        let box = Box()
        var shape = Machine.Shape(memory: 16 << 20, processors: processors)
        shape.coresPerSocket = processors
        change(&shape)
        let machine = try Machine(shape, loop: loop, deviceLoop: deviceLoop, log: MachineLog())
        box.machine = machine
        let uart = Uart16550(interrupt: machine.interrupts.line(4), backend: transcript)
        try machine.ports.map(uart, at: 0x3f8, count: 8)
        machine.boot = { machine, vcpu in
            if let resets, machine.resets == resets { machine.loop.perform { box.machine?.powerOff() } }
            try machine.memory.ram.write(code, at: 0x7c00)
            var special = try vcpu.specialRegisters()
            special.cs.base = 0
            special.cs.selector = 0
            try vcpu.setSpecialRegisters(special)
            try vcpu.setRegisters(GeneralRegisters(rip: 0x7c00))
        }
        machine.ended = { state in
            box.state = state
            if state == .crashed { machine.powerOff() }
            loop.stop()
        }
        loop.perform {
            do { try box.machine?.powerOn() } catch {
                box.failure = "\(error)"
                loop.stop()
            }
            if let machine = box.machine { during?(machine) }
        }
        loop.run()
        if let failure = box.failure { Issue.record("\(failure)") }
        return (box.state, transcript.text, machine.resets)
    }

    final class Box: @unchecked Sendable {  // touched on the loop, which the test itself runs
        var machine: Machine?
        var state = Machine.State.poweredOff
        var failure: String?
    }

    @Test("a guest prints and powers itself off through ACPI")
    func printsAndPowersOff() throws {
        let code: [UInt8] = [
            0xba, 0xf8, 0x03,  // mov dx, 0x3f8
            0xb0, 0x4f, 0xee,  // mov al, 'O'; out dx, al
            0xb0, 0x4b, 0xee,  // mov al, 'K'; out dx, al
            0xba, 0x04, 0x06,  // mov dx, 0x604
            0xb8, 0x00, 0x20, 0xef,  // mov ax, 0x2000; out dx, ax
            0xf4, 0xeb, 0xfd,  // hlt; jmp -1
        ]
        let result = try run(code)
        #expect(result.text == "OK")
        #expect(result.state == .poweredOff)
    }

    @Test("a reset through 0xCF9 starts the guest anew, as often as it asks")
    func resets() throws {
        let code: [UInt8] = [
            0xba, 0xf8, 0x03, 0xb0, 0x52, 0xee,  // 'R'
            0xba, 0xf9, 0x0c,  // mov dx, 0xcf9
            0xb0, 0x06, 0xee,  // mov al, 6; out dx, al
            0xeb, 0xfe,  // jmp self
        ]
        let result = try run(code, until: 3)
        #expect(result.resets >= 3)
        #expect(result.text.hasPrefix("RRR"))
    }

    @Test("a guest that never exits can be paused, resumed and powered off")
    func pauses() throws {
        let result = try run([0xeb, 0xfe]) { machine in
            for _ in 0..<20 {
                machine.pause()
                #expect(machine.state == .paused)
                machine.resume()
            }
            machine.powerOff()
        }
        #expect(result.state == .poweredOff)
    }

    @Test("absent ports read all ones")
    func absentPorts() throws {
        let code: [UInt8] = [
            0xba, 0x34, 0x12, 0xec,  // mov dx, 0x1234; in al, dx
            0x3c, 0xff, 0x75, 0x06,  // cmp al, 0xff; jne +6
            0xba, 0xf8, 0x03, 0xb0, 0x31, 0xee,  // '1'
            0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xeb, 0xfe,
        ]
        #expect(try run(code).text == "1")
    }

    /// Real-mode code around the backdoor: the command in ECX with EBX 0, then `prints` with the answer in the registers.
    private func backdoor(_ command: UInt8, then prints: [UInt8]) -> [UInt8] {
        [
            0x66, 0xb8, 0x68, 0x58, 0x4d, 0x56,  // mov eax, 0x564d5868
            0x66, 0xb9, command, 0x00, 0x00, 0x00,  // mov ecx, command
            0x66, 0x31, 0xdb,  // xor ebx, ebx
            0xba, 0x58, 0x56, 0x66, 0xed,  // mov dx, 0x5658; in eax, dx
            0xba, 0xf8, 0x03,  // mov dx, 0x3f8
        ] + prints + [0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xeb, 0xfe]  // power off
    }

    @Test("the backdoor answers in all the registers, not in EAX alone")
    func backdoorVersion() throws {
        let code = backdoor(
            0x0a,
            then: [
                0x04, 0x30, 0xee,  // add al, '0'; out dx, al
                0x88, 0xd8, 0xee,  // mov al, bl; out dx, al
                0x66, 0xc1, 0xeb, 0x08, 0x88, 0xd8, 0xee,  // shr ebx, 8; mov al, bl; out dx, al
                0x66, 0xc1, 0xeb, 0x08, 0x88, 0xd8, 0xee,
                0x66, 0xc1, 0xeb, 0x08, 0x88, 0xd8, 0xee,
                0x88, 0xc8, 0x04, 0x30, 0xee,  // mov al, cl; add al, '0'; out dx, al
            ])
        // Version 6, the magic number, and an ESX.
        let text = try run(code).text
        #expect(text == "6hXMV2")
    }

    @Test("the backdoor says how much memory there is, and has no command 0xfe")
    func backdoorMemory() throws {
        // mov al, ah… of 16 MiB: al is 16, which is a control character; print al + 'A'.
        #expect(try run(backdoor(0x14, then: [0x04, 0x41, 0xee])).text == "Q")
        // All ones: al + 'B' is 'A'; EBX is still 0.
        #expect(try run(backdoor(0xfe, then: [0x04, 0x42, 0xee, 0x88, 0xd8, 0x04, 0x61, 0xee])).text == "Aa")
    }

    @Test("a guest finds the hypervisor that the machine is to be taken for, and KVM behind it")
    func hypervisorLeaves() throws {
        let code: [UInt8] = [
            0x66, 0xb8, 0x00, 0x00, 0x00, 0x40, 0x0f, 0xa2,  // mov eax, 0x40000000; cpuid
            0x88, 0xd8, 0x88, 0xcb, 0x88, 0xd1,  // mov al, bl; mov bl, cl; mov cl, dl
            0xba, 0xf8, 0x03, 0xee,  // mov dx, 0x3f8; out dx, al
            0x88, 0xd8, 0xee, 0x88, 0xc8, 0xee,  // mov al, bl; out dx, al; mov al, cl; out dx, al
            0x66, 0xb8, 0x00, 0x01, 0x00, 0x40, 0x0f, 0xa2,  // mov eax, 0x40000100; cpuid
            0x88, 0xd8, 0xba, 0xf8, 0x03, 0xee,  // mov al, bl; mov dx, 0x3f8; out dx, al
            0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xeb, 0xfe,
        ]
        #expect(try run(code, with: { $0.hypervisor = .vmware }).text == "VrwK")
        // Where KVM has nothing of Hyper-V's, it is itself.
        let text = try run(code, with: { $0.hypervisor = .hyperV }).text
        #expect(try KVMSystem().supportedHyperVCPUID().isEmpty ? text.hasPrefix("KVM") : text == "MotK")
    }
}
