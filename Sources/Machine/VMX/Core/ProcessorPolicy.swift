import KVM

/// What the guest's processors look like.
struct ProcessorPolicy {
    let topology: CPUTopology
    /// The guest finds Hyper-V's interfaces, so its vCPUs need what belongs to them.
    let hasHyperV: Bool
    private let supported: [CPUIDEntry]
    private var cpuid: GuestCPUID

    /// - Throws: `KVMError` if KVM cannot be asked, `StartFailure` if the host cannot give what the model promises.
    init(_ shape: Machine.Shape, _ system: KVMSystem) throws {
        guard let model = CPUModel(named: shape.processorModel) else {
            let names = CPUModel.all.map(\.name).joined(separator: ", ")
            throw StartFailure(
                .configuration, "wafer.cpuModel: there is no \"\(shape.processorModel)\"; there are \(names)")
        }
        topology = CPUTopology(processors: shape.processors, coresPerSocket: shape.coresPerSocket)
        var options = GuestCPUID.Options()
        options.nestedVirtualization = shape.nestedVirtualization
        options.hypervisorVisible = shape.hypervisorVisible
        options.interface = shape.hypervisor
        if shape.hypervisor == .hyperV, shape.hypervisorVisible { options.hyperV = try system.supportedHyperVCPUID() }
        hasHyperV = !options.hyperV.isEmpty
        options.deadlineTimer = system.supports(.tscDeadlineTimer)
        supported = try system.supportedCPUID()
        cpuid = GuestCPUID(supported: supported, model: model, topology: topology, options: options)
        if let shortfall = cpuid.shortfall { throw StartFailure(.unavailable, "\(shortfall)") }
    }

    /// How many bits a guest's physical address has (CPUID Fn8000_0008, EAX bits 7:0); 36 where the processor does not say.
    var physicalAddressBits: Int {
        let leaf = cpuid.entries(of: 0).first { $0.leaf == 0x8000_0008 }
        return leaf.map { min(max(Int($0.eax & 0xff), 36), 52) } ?? 36
    }

    /// Has the leaves tell the frequency of the time-stamp counter, which KVM says of a vCPU only, where guests expect it:
    /// from VMware's.
    ///
    /// - Parameter frequency: in kHz; 0 if it is not known.
    mutating func tell(timeStampFrequency frequency: UInt32) {
        guard cpuid.options.interface == .vmware else { return }
        var options = cpuid.options
        options.timeStampFrequency = frequency
        cpuid = GuestCPUID(supported: supported, model: cpuid.model, topology: topology, options: options)
    }

    /// The CPUID leaves of a vCPU.
    func leaves(of index: Int) -> [CPUIDEntry] { cpuid.entries(of: index) }
}
