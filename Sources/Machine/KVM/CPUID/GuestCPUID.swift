/// What the CPUID instruction answers on each of a guest's processors: what KVM offers, cut down to a model, and
/// arranged as the guest's topology says. Pure arithmetic; nothing here asks KVM.
public struct GuestCPUID: Sendable {
    /// What the guest gets or not, whatever its model.
    public struct Options: Sendable {
        /// The guest can run guests of its own.
        public var nestedVirtualization = false
        /// The guest can count events of the processor.
        public var performanceMonitoring = false
        /// The guest sees that it is one. Some software refuses to run then.
        public var hypervisorVisible = true
        /// Which hypervisor the guest sees, if it sees one.
        public var interface = HypervisorInterface.kvm
        /// The leaves in which KVM offers Hyper-V's interfaces (`KVMSystem.supportedHyperVCPUID`).
        public var hyperV: [CPUIDEntry] = []
        /// The LAPIC's timer has the deadline mode (`Capability.tscDeadlineTimer`), which KVM does not report here.
        public var deadlineTimer = true
        /// Frequency of the time-stamp counter in kHz, for the timing leaf that VMware defined and firmware uses; 0 for
        /// none.
        public var timeStampFrequency: UInt32 = 0

        public init() {}
    }

    public let model: CPUModel
    public let topology: CPUTopology
    public let options: Options
    /// What the host lacks for the model; nil if it can give all. The leaves are right for what there is anyway.
    public let shortfall: CPUModel.Shortfall?
    /// The features that the guest sees.
    public let features: CPUFeatureSet

    private let vendor: CPUVendor
    private let template: [CPUIDEntry]

    /// - Parameter supported: what KVM offers on this host.
    public init(
        supported: [CPUIDEntry], model: CPUModel, topology: CPUTopology, options: Options = Options()
    ) {
        self.model = model
        self.topology = topology
        self.options = options
        shortfall = model.shortfall(on: supported)
        vendor = CPUVendor(supported)
        features = Self.features(supported, model, topology, options)
        let builder = LeafBuilder(
            supported: supported, features: features, vendor: vendor, topology: topology, options: options)
        template = builder.leaves()
    }

    /// The leaves of one processor.
    public func entries(of index: Int) -> [CPUIDEntry] {
        let id = topology.apicID(of: index)
        let position = topology.position(of: index)
        return template.map { entry in
            var entry = entry
            switch entry.leaf {
            case 1: entry.ebx = entry.ebx & 0x00FF_FFFF | (id & 0xFF) << 24
            case 0xB, 0x1F: entry.edx = id
            case 0x8000_001E:
                entry.eax = id
                // Core in bits 7 to 0, threads of a core minus one in bits 15 to 8; the socket is the node.
                entry.ebx = UInt32(topology.threadsPerCore - 1) << 8 | UInt32(position.core) & 0xFF
                entry.ecx = UInt32(position.socket) & 0xFF
            default: break
            }
            return entry
        }
    }

    /// What a guest that runs with some leaves would miss on a host. Empty if it can move there.
    ///
    /// - Parameters:
    ///   - entries: the leaves of one of the guest's processors.
    ///   - supported: what KVM offers on the host.
    public static func missing(for entries: [CPUIDEntry], on supported: [CPUIDEntry]) -> CPUFeatureSet {
        CPUFeatureSet(entries).subtracting(CPUFeatureSet(supported)).subtracting(added).subtracting(dynamic)
    }

    // MARK: Features

    /// What is set here whether KVM reports it or not.
    private static let added = CPUFeatureSet("hypervisor tsc_deadline_timer ht cmp_legacy fdp_excptn_only zero_fcs_fds")
    /// What the processor sets by itself when the guest switches a feature on.
    private static let dynamic = CPUFeatureSet("osxsave ospke")
    /// What is of no use without exits that we do not disable, needs state that we do not keep, or is disabled by
    /// microcode sooner or later (transactional memory, MPX).
    private static let never = CPUFeatureSet(
        "monitor sgx sgx_lc intel_pt hle rtm tsxldtrk mpx waitpkg core_capabilities")
    private static let virtualization = CPUFeatureSet("vmx svm")
    private static let monitoring = CPUFeatureSet("pdcm perfctr_core perfctr_nb perfctr_llc")
    /// Features of leaf 1 EDX that AMD repeats in leaf 0x80000001 EDX.
    private static let repeatedByAMD: UInt32 = 0x0183_F3FF

    private static func features(
        _ supported: [CPUIDEntry], _ model: CPUModel, _ topology: CPUTopology, _ options: Options
    ) -> CPUFeatureSet {
        let offered = CPUFeatureSet(supported)
        let vendor = CPUVendor(supported)
        var result = offered
        if var wanted = model.features?.union(CPUModel.passing) {
            if options.nestedVirtualization { wanted = wanted.union(virtualization) }
            if options.performanceMonitoring { wanted = wanted.union(monitoring) }
            result = result.intersection(wanted)
            // KVM's own features depend on the kernel alone.
            result[.kvmEAX] = offered[.kvmEAX]
        }
        result = result.subtracting(dynamic).subtracting(never)
        if !options.nestedVirtualization { result = result.subtracting(virtualization) }
        if !options.performanceMonitoring { result = result.subtracting(monitoring) }
        result = result.union(CPUFeatureSet("fdp_excptn_only zero_fcs_fds"))
        result.set("hypervisor", options.hypervisorVisible)
        result.set("tsc_deadline_timer", options.deadlineTimer)
        result.set("ht", topology.processorsPerSocket > 1)
        result.set("cmp_legacy", topology.processorsPerSocket > 1 && vendor == .amd)
        if vendor == .amd {
            result[.extended1EDX] |= result[.leaf1EDX] & offered[.extended1EDX] & repeatedByAMD
            // KVM emulates the register everywhere, but Windows does not expect it on AMD and does not start.
            result.set("arch_capabilities", false)
        }
        return result
    }
}
