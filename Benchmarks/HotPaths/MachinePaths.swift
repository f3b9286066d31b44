import GuestMemory
import KVM
import Linux
import VMX

/// Why a group of paths cannot run here.
private struct Unavailable: Error, CustomStringConvertible {
    var description: String
}

/// A machine whose guest makes accesses on command: this program writes how many and of which kind into guest memory, and
/// waits until the guest has set the number back to zero.
private final class AccessGuest {
    enum Access: UInt32 {
        /// The PM timer's port; PCI configuration in memory; PM1 enable's port; PCI configuration again.
        case readPort, readMemory, writePort, writeMemory
    }

    private static let command: GuestAddress = 0x5000
    private static let entry: GuestAddress = 0x1_0000
    private static let descriptorTable: GuestAddress = 0x500

    /// 32-bit code: wait: load the count at 0x5000, pause while it is zero; by the kind at 0x5004 go to one of the loops
    /// `in (0x608)`, `mov 0xb0000000, %eax`, `out (0x602)`, `mov %eax, 0xb00000f0`; then clear the count and wait again.
    private static let code: [UInt8] = [
        0xbb, 0x00, 0x50, 0x00, 0x00, 0x8b, 0x0b, 0x85, 0xc9, 0x75, 0x04, 0xf3, 0x90, 0xeb, 0xf6, 0x8b, 0x43, 0x04,
        0x83, 0xf8, 0x01, 0x74, 0x14, 0x83, 0xf8, 0x02, 0x74, 0x19, 0x83, 0xf8, 0x03, 0x74, 0x21, 0x66, 0xba, 0x08,
        0x06, 0xed, 0x49, 0x75, 0xfc, 0xeb, 0x1f, 0xa1, 0x00, 0x00, 0x00, 0xb0, 0x49, 0x75, 0xf8, 0xeb, 0x15, 0x66,
        0xba, 0x02, 0x06, 0x31, 0xc0, 0x66, 0xef, 0x49, 0x75, 0xfb, 0xeb, 0x08, 0xa3, 0xf0, 0x00, 0x00, 0xb0, 0x49,
        0x75, 0xf8, 0xc7, 0x03, 0x00, 0x00, 0x00, 0x00, 0xeb, 0xb3,
    ]

    private let machine: Machine
    private let loops: [EventLoop]

    init() throws {
        let loop = try EventLoop(name: "vmx")
        let devices = try EventLoop(name: "devices")
        loops = [loop, devices]
        try devices.start()
        machine = try Machine(.init(memory: 2 << 20, processors: 1), loop: loop, deviceLoop: devices, log: MachineLog())
        machine.boot = { machine, vcpu in
            let registers = BootRegisters.protectedMode(
                entry: UInt32(Self.entry), ebx: 0, gdt: Self.descriptorTable)
            let table = registers.descriptors.flatMap { word in
                (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
            }
            try machine.memory.ram.write(table, at: Self.descriptorTable)
            try machine.memory.ram.write(Self.code, at: Self.entry)
            try vcpu.apply(registers)
        }
        try loop.start()
        let machine = machine
        loop.performAndWait {
            do { try machine.powerOn() } catch {
                writeToStandardError("hotpaths: the machine does not start: \(error)\n")
            }
        }
        guard machine.state == .running else { throw Unavailable(description: "the machine does not start") }
    }

    /// Stops the guest, which would keep a processor busy by waiting.
    func stop() {
        let machine = machine
        loops[0].performAndWait { machine.powerOff() }
    }

    /// Lets the guest do an access so many times.
    func run(_ access: Access, _ count: Int) {
        let ram = machine.memory.ram
        ram.store(access.rawValue, at: Self.command + 4)
        ram.store(UInt32(count), at: Self.command)
        // Its own processor serves the guest meanwhile; on a host with one, the scheduler takes turns.
        while ram.load(UInt32.self, at: Self.command) != 0 {}
    }
}

/// From the guest's access through KVM, the vCPU's thread and the device back to the guest.
func machinePaths() throws -> [HotPath] {
    if let reason = KVMSystem.probe() { throw Unavailable(description: "vCPU exits: \(reason)") }
    let guest = try AccessGuest()
    return [
        HotPath("vCPU: port read (PM timer)", operations: 5_000) { guest.run(.readPort, $0) },
        HotPath("vCPU: port write (PM1 enable)", operations: 5_000) { guest.run(.writePort, $0) },
        HotPath("vCPU: MMIO read (PCI configuration)", operations: 5_000) { guest.run(.readMemory, $0) },
        HotPath("vCPU: MMIO write (PCI configuration)", operations: 5_000, finish: guest.stop) {
            guest.run(.writeMemory, $0)
        },
    ]
}
