import DeviceModel
import GuestMemory
import Virtio

/// Bytes that are the same every time.
private final class SameEntropy: EntropySource, @unchecked Sendable {
    override func fill(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        for index in buffer.indices { buffer[index] = UInt8(truncatingIfNeeded: index &* 37) }
        return buffer.count
    }
}

/// Reads what it is given, and keeps the other end for the input to type at.
private final class FuzzTerminal: CharacterBackend, @unchecked Sendable {
    // @unchecked: one thread.
    var receiver: (any CharacterReceiver)?
    var sum = 0

    func transmit(_ bytes: Span<UInt8>) { for index in bytes.indices { sum &+= Int(bytes[index]) } }
    func setReceiver(_ receiver: (any CharacterReceiver)?) { self.receiver = receiver }
    func receiverHasRoom() {}

    func type(_ count: UInt8) {
        let bytes = [UInt8](repeating: count, count: Int(count) * 32)
        let taken = receiver?.receive(bytes.span) ?? 0
        check(taken >= 0 && taken <= bytes.count, "no more is taken than was offered")
    }
}

func fuzzVirtioRNG(_ bytes: [UInt8]) {
    runVirtio(bytes) { memory in
        (try VirtioRNG(ram: memory.ram, loop: nil, source: SameEntropy()), { _ in })
    }
}

func fuzzVirtioConsole(_ bytes: [UInt8]) {
    let terminal = FuzzTerminal()
    runVirtio(bytes) { memory in
        let console = try VirtioConsole(ram: memory.ram, loop: nil, backend: terminal)
        return (
            console,
            { byte in
                if byte == 0 { console.setSize(columns: 1, rows: 1) } else { terminal.type(byte) }
            }
        )
    }
}

func fuzzVirtioBalloon(_ bytes: [UInt8]) {
    runVirtio(bytes) { memory in
        let balloon = try VirtioBalloon(memory, loop: nil)
        return (
            balloon,
            { byte in
                if byte == 0 { balloon.requestStatistics() } else { balloon.target = Int(byte) << 12 }
            }
        )
    }
}

/// Runs an input on a machine with one device.
func runVirtio(
    _ bytes: [UInt8], _ make: (GuestMemory) throws -> (device: VirtioDevice, event: (UInt8) -> Void)
) {
    do {
        let memory = try VirtioMachine.memory()
        let (device, event) = try make(memory)
        var machine = try VirtioMachine(memory, device, event: event)
        machine.run(bytes)
    } catch {
        // The host is out of descriptors or memory, which no input can help.
        check(false, "the machine can be made")
    }
}
