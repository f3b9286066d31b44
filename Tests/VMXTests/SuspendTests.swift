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

    /// Tries to resume in a rig; gives why it did not work. Nothing ran then.
    private func refusal(_ path: String, _ rig: Rig) -> String {
        do {
            try rig.run { try $0.resume(from: path) }
            Issue.record("it was resumed")
            return ""
        } catch {
            #expect(rig.machine.state == .poweredOff)
            #expect(rig.transcript.text.isEmpty)
            return "\(error)"
        }
    }

    @Test("a state of another machine is refused by name before anything runs")
    func mismatches() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/state.vmss"
            _ = try saved(path)
            #expect(
                refusal(path, try Rig(memory: 32 << 20))
                    == "machine: it was saved with bytes of memory: 16777216, and has 33554432 now")
            #expect(
                refusal(path, try Rig(processors: 2)) == "machine: it was saved with processors: 1, and has 2 now")
            let more = try Rig { machine in
                machine.addPart("serial1", Uart16550(interrupt: machine.interrupts.line(3), backend: Transcript()))
            }
            #expect(refusal(path, more) == "it says nothing of serial1, which this machine has")
            let card = try Rig { machine in
                let function = PCIFunction(space: PCIConfigurationSpace(vendor: 1, device: 2, classCode: 0), bars: [])
                try machine.pci.plug(function)
                machine.addPart("ethernet0", function)
            }
            #expect(refusal(path, card) == "it says nothing of ethernet0, which this machine has")
        }
    }

    @Test("a file that is damaged, cut off or from a later version is refused")
    func damage() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/state.vmss"
            _ = try saved(path)
            let bytes = try readFile(path)
            var changed = bytes
            changed[bytes.count - 2 * 4096 - 100] ^= 1
            try Files.replace(path, with: changed)
            #expect(refusal(path, try Rig()).contains("the checksum is wrong"))
            try Files.replace(path, with: Array(bytes.dropLast(4096)))
            #expect(refusal(path, try Rig()).contains("it ends here, and is not whole"))
            changed = bytes
            changed[8] = 9
            try Files.replace(path, with: changed)
            #expect(
                refusal(path, try Rig()) == "its format has version 9, which is not known; the newest known is 1")
            #expect(refusal(directory + "/nothing", try Rig()).contains("nothing"))
            try Files.replace(path, with: bytes)
            let rig = try Rig()
            try rig.run { rig in
                try rig.resume(from: path)
                rig.waitForText(5)
                rig.machine.powerOff()
            }
        }
    }

    @Test("a section of a later version is refused by its name")
    func futureSection() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/state.vmss"
            _ = try saved(path)
            try rewrite(path) { section in if section.name == "rtc" { section.version = 7 } }
            #expect(refusal(path, try Rig()) == "rtc: version 7 is not known; the newest known is 1")
            try rewrite(path) { section in if section.name == "rtc" { section.name = "clock" } }
            #expect(refusal(path, try Rig()) == "it says nothing of rtc, which this machine has")
        }
    }

    /// Changes sections of a file, of which memory is left out.
    private func rewrite(_ path: String, _ change: (inout StateSection) -> Void) throws {
        let reader = try StateReader(StateFileSource(path))
        guard case .sections(var sections) = try reader.next(into: StateMemory()) else {
            throw StateError.missingSection("")
        }
        for index in sections.indices { change(&sections[index]) }
        let sink = try StateFileSink(path)
        let writer = try StateWriter(sink, stream: 1, program: "")
        try writer.write(sections)
        try writer.finish()
        try sink.finish()
    }

    @Test("a guest whose suspension fails runs on")
    func failure() throws {
        let rig = try Rig { machine in
            // No part: nobody has said how it is saved.
            try machine.ports.map(Unknown(), at: 0x300, count: 1)
        }
        try rig.run { rig in
            try rig.machine.powerOn()
            rig.waitForText(5)
            for path in ["/tmp/never.vmss", "/nowhere/at/all.vmss"] {
                #expect(throws: StateError.self) { try rig.suspend(to: path) }
                #expect(!fileExists(path))
                #expect(rig.machine.state == .running)
                rig.waitForText(rig.transcript.text.utf8.count + 5)
            }
            rig.machine.powerOff()
        }
        for (index, letter) in rig.transcript.text.utf8.enumerated() {
            #expect(letter == UInt8(ascii: "a") + UInt8(index % 26))
        }
    }

    private final class Unknown: BusDevice, @unchecked Sendable {}

    @Test("a machine that was paused can be suspended, one that is off cannot")
    func states() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/state.vmss"
            let rig = try Rig()
            try rig.run { rig in
                #expect(throws: StateError.cannotSave(section: "machine", "it is poweredOff")) {
                    try rig.suspend(to: path)
                }
                try rig.machine.powerOn()
                rig.waitForText(5)
                rig.machine.pause()
                try rig.suspend(to: path)
            }
            #expect(fileExists(path))
        }
    }

    @Test("the guest's clocks show the time that went by")
    func clocks() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/state.vmss"
            let rig = try Rig()
            try rig.run { rig in
                try rig.machine.powerOn()
                rig.waitForText(5)
                try rig.suspend(to: path)
            }
            let before = try rig.machine.virtualMachine.clock().nanoseconds
            let began = monotonicNanoseconds()
            Self.pause(milliseconds: 300)
            let copy = try Rig()
            try copy.run { copy in
                try copy.resume(from: path)
                let passed = Int64(try copy.machine.virtualMachine.clock().nanoseconds) - Int64(before)
                // The old machine's clock was read a little after it was saved.
                #expect(abs(passed - Int64(monotonicNanoseconds() - began)) < 100_000_000)
                copy.machine.powerOff()
            }
        }
    }
}
