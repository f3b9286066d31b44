import KVM

/// The state after power-on of everything that KVM keeps, to come back to at a reset.
struct InitialState {
    private let machine: VirtualMachineState
    private let processors: [VirtualCPUState]

    /// Takes it from a machine that has not run yet.
    init(_ machine: VirtualMachine, _ vcpus: [VirtualCPU]) throws(KVMError) {
        self.machine = try machine.saveState()
        var processors: [VirtualCPUState] = []
        for vcpu in vcpus { processors.append(try vcpu.saveState()) }
        self.processors = processors
    }

    /// Resets interrupt controllers, timers and processors. Devices keep their interrupt numbers.
    func restore(_ machine: VirtualMachine, _ vcpus: [VirtualCPU]) throws(KVMError) {
        try machine.restoreState(self.machine, keepRoutes: false)
        for (vcpu, state) in zip(vcpus, processors) { try vcpu.restoreState(state) }
    }
}
