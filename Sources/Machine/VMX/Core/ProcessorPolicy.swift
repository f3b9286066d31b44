import KVM

/// What the guest's processors look like.
struct ProcessorPolicy {
    let topology: CPUTopology
    private let cpuid: GuestCPUID

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
        options.deadlineTimer = system.supports(.tscDeadlineTimer)
        cpuid = GuestCPUID(
            supported: try system.supportedCPUID(), model: model, topology: topology, options: options)
        if let shortfall = cpuid.shortfall { throw StartFailure(.unavailable, "\(shortfall)") }
    }

    /// How many bits a guest's physical address has (CPUID Fn8000_0008, EAX bits 7:0); 36 where the processor does not say.
    var physicalAddressBits: Int {
        let leaf = cpuid.entries(of: 0).first { $0.leaf == 0x8000_0008 }
        return leaf.map { min(max(Int($0.eax & 0xff), 36), 52) } ?? 36
    }

    /// The CPUID leaves of a vCPU.
    func leaves(of index: Int) -> [CPUIDEntry] { cpuid.entries(of: index) }
}
