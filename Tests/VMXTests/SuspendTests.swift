import Chipset
import DeviceModel
import GuestMemory
import KVM
import Linux
import SavedState
import Synchronization
import TestFiles
import Testing

@testable import VMX

/// Machines with payloads of a few instructions, suspended in the middle and resumed in another machine.
@Suite(
    "Suspended machines", .serialized,
    .enabled(if: KVMSystem.isAvailable, "KVM is not available: \(KVMSystem.probe().map { "\($0)" } ?? "")"))
struct SuspendTests {
    private static let uuid = [UInt8](repeating: 7, count: 16)

    /// Counts in memory and prints a letter for each step, for ever.
    private static let counting: [UInt8] = [
        0xb0, 0x00,  // mov al, 0
        0xa2, 0x00, 0x80,  // mov [0x8000], al
        // next:
        0xa0, 0x00, 0x80,  // mov al, [0x8000]
        0x04, 0x61,  // add al, 'a'
        0xba, 0xf8, 0x03, 0xee,  // mov dx, 0x3f8; out dx, al
        0xb9, 0x00, 0x40,  // mov cx, 0x4000
        0xe2, 0xfe,  // loop self
        0xa0, 0x00, 0x80,  // mov al, [0x8000]
        0xfe, 0xc0,  // inc al
        0x3c, 0x1a, 0x75, 0x02,  // cmp al, 26; jne +2
        0xb0, 0x00,  // mov al, 0
        0xa2, 0x00, 0x80,  // mov [0x8000], al
        0xeb, 0xdf,  // jmp next
    ]

    /// A machine with a serial port, on the test's thread.
    final class Rig: @unchecked Sendable {  // touched on the loop, which the test itself runs
        let loop: EventLoop
        let deviceLoop: EventLoop
        let machine: Machine
        let transcript = Transcript()
        var failure: (any Error)?

        init(
            memory: Int = 16 << 20, processors: Int = 1, code: [UInt8] = SuspendTests.counting,
            extra: (Machine) throws -> Void = { _ in }
        ) throws {
            loop = try EventLoop(name: "test")
            deviceLoop = try EventLoop(name: "devices")
            try deviceLoop.start()
            var shape = Machine.Shape(memory: memory, processors: processors)
            shape.coresPerSocket = processors
            machine = try Machine(shape, loop: loop, deviceLoop: deviceLoop, log: MachineLog())
            let uart = Uart16550(interrupt: machine.interrupts.line(4), backend: transcript)
            try machine.ports.map(uart, at: 0x3f8, count: 8)
            machine.addPart("serial0", uart)
            try extra(machine)
            machine.boot = { machine, vcpu in
                try machine.memory.ram.write(code, at: 0x7c00)
                var special = try vcpu.specialRegisters()
                special.cs.base = 0
                special.cs.selector = 0
                try vcpu.setSpecialRegisters(special)
                try vcpu.setRegisters(GeneralRegisters(rip: 0x7c00))
            }
            machine.ended = { [loop] _ in loop.stop() }
        }

        deinit { deviceLoop.stop() }

        /// Does something on the machine's thread at the beginning, and runs it to its end.
        func run(_ begin: @escaping @Sendable (Rig) throws -> Void) throws {
            loop.perform { [self] in
                do { try begin(self) } catch {
                    failure = error
                    if machine.state == .poweredOff || machine.state == .suspended {
                        loop.stop()
                    } else {
                        machine.powerOff()
                    }
                }
            }
            loop.run()
            if let failure { throw failure }
        }

        func waitForText(_ count: Int) {
            while transcript.bytes.withLock({ $0.count }) < count { pause(milliseconds: 1) }
        }

        func suspend(to path: String) throws {
            try machine.suspend { try $0.save(to: path, uuid: SuspendTests.uuid) }
        }

        func resume(from path: String) throws {
            try machine.powerOn { try $0.load(from: path, uuid: SuspendTests.uuid) }
        }
    }

    private static func pause(milliseconds: Int) { _ = try? poll([], milliseconds: milliseconds) }

    /// A saved machine that has printed something.
    private func saved(_ path: String) throws -> String {
        let rig = try Rig()
        try rig.run { rig in
            try rig.machine.powerOn()
            rig.waitForText(20)
            try rig.suspend(to: path)
        }
        #expect(rig.machine.state == .suspended)
        return rig.transcript.text
    }

    @Test("a guest that counts goes on where it was, in another machine, as often as one likes")
    func goesOn() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/state.vmss"
            var text = try saved(path)
            for _ in 0..<3 {
                let rig = try Rig(code: [0xf4])
                try rig.run { rig in
                    try rig.resume(from: path)
                    rig.waitForText(20)
                    try rig.suspend(to: path)
                }
                text += rig.transcript.text
            }
            for (index, letter) in text.utf8.enumerated() { #expect(letter == UInt8(ascii: "a") + UInt8(index % 26)) }
            #expect(text.utf8.count >= 80)
        }
    }
}
