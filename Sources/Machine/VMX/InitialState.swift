import KVM

/// The state after power-on of everything that KVM keeps, to come back to at a reset.
struct InitialState {
    private struct Processor {
        var general: GeneralRegisters
        var special: SpecialRegisters
        var registers: [ModelSpecificRegister]
        var activity: VirtualCPU.Activity
    }
    private let processors: [Processor]

    init(_ machine: VirtualMachine, _ vcpus: [VirtualCPU]) throws(KVMError) {
        let indices = try machine.system.stateMSRs()
        var processors: [Processor] = []
        for vcpu in vcpus {
            processors.append(
                Processor(
                    general: try vcpu.registers(), special: try vcpu.specialRegisters(),
                    registers: try vcpu.readMSRs(indices), activity: try vcpu.activity()))
        }
        self.processors = processors
    }

    func restore(_ machine: VirtualMachine, _ vcpus: [VirtualCPU]) throws(KVMError) {
        for (vcpu, processor) in zip(vcpus, processors) {
            try vcpu.setSpecialRegisters(processor.special)
            try vcpu.setRegisters(processor.general)
            try vcpu.writeMSRs(processor.registers)
            try vcpu.setActivity(processor.activity)
        }
    }
}
