import KVM
import Linux
import Testing

/// A machine with 64 KiB of memory at 0 and one vCPU in real mode that starts at 0x1000: enough for a few instructions.
struct Payload {
    static let entry: UInt64 = 0x1000

    let memory: Mapping
    let slot: MemorySlot
    let machine: VirtualMachine
    let vcpu: VirtualCPU

    /// - Parameter code: 16-bit code, put at 0x1000 with CS, DS, ES and SS zero and SP 0x8000.
    init(
        _ code: [UInt8], interruptController: VirtualMachine.InterruptController = .none, flags: MemoryFlags = []
    ) throws {
        let system = try KVMSystem()
        var configuration = VirtualMachine.Configuration()
        configuration.interruptController = interruptController
        machine = try VirtualMachine(system, configuration)
        memory = try Mapping(anonymous: 0x1_0000, "guest memory")
        slot = try machine.addMemory(at: 0, memory, flags: flags)
        (memory.base + Int(Self.entry)).copyMemory(from: code, byteCount: code.count)
        vcpu = try VirtualCPU(machine, id: 0)
        try vcpu.setCPUID(system.supportedCPUID())
        var special = try vcpu.specialRegisters()
        for path in [\SpecialRegisters.cs, \.ds, \.es, \.ss] {
            special[keyPath: path].base = 0
            special[keyPath: path].selector = 0
        }
        try vcpu.setSpecialRegisters(special)
        try vcpu.setRegisters(GeneralRegisters(rsp: 0x8000, rip: Self.entry))
    }

    func byte(at address: Int) -> UInt8 { memory.base.load(fromByteOffset: address, as: UInt8.self) }
    func word(at address: Int) -> UInt16 { memory.base.loadUnaligned(fromByteOffset: address, as: UInt16.self) }
}
