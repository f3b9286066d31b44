import CLinux
public import Linux

/// The host's KVM: what it can do, and where virtual machines come from.
public final class KVMSystem: Sendable {
    /// Why this host cannot run virtual machines.
    public enum Unavailable: Error, Equatable, Sendable, CustomStringConvertible {
        /// There is no `/dev/kvm`: no hardware virtualisation, disabled in the firmware, or the module is not loaded.
        case missing
        /// `/dev/kvm` is there but not for this user.
        case notPermitted
        /// `/dev/kvm` does not open for another reason.
        case failed(SystemError)
        /// The kernel speaks another version of the interface than the only stable one, 12.
        case wrongVersion(CInt)
        /// The kernel lacks something without which no machine of ours runs.
        case lacks(String)

        public var description: String {
            switch self {
            case .missing:
                "there is no /dev/kvm: the processor's virtualisation is absent or disabled in the firmware, "
                    + "or the kvm module is not loaded"
            case .notPermitted: "this user may not open /dev/kvm"
            case .failed(let error): "\(error)"
            case .wrongVersion(let version): "/dev/kvm speaks version \(version) of its interface instead of 12"
            case .lacks(let what): "this host's KVM does not support \(what)"
            }
        }
    }

    /// What every machine of ours needs. All of it is older than Linux 4.13.
    private static let needed: [(Capability, String)] = [
        (.irqchip, "interrupt controllers in the kernel"),
        (.pit2, "an interval timer in the kernel"),
        (.irqRouting, "interrupt routing"),
        (.irqfd, "interrupts raised by eventfds"),
        (.ioeventfd, "doorbells"),
        (.readOnlyMemory, "read-only guest memory"),
        (.immediateExit, "immediate exit"),
    ]

    private let descriptor: Descriptor
    /// Bytes of the structure that each vCPU shares with the kernel.
    let runSize: Int

    /// Opens the host's KVM and checks that it is fit for our machines.
    public convenience init() throws(KVMError) {
        let descriptor: Descriptor
        do {
            descriptor = try Descriptor(opening: "/dev/kvm", .readWrite)
        } catch {
            switch error.number {
            case ENOENT, ENXIO, ENODEV: throw .unavailable(.missing)
            case EACCES, EPERM: throw .unavailable(.notPermitted)
            default: throw .unavailable(.failed(error))
            }
        }
        try self.init(adopting: descriptor)
    }

    /// Takes over an open `/dev/kvm`, as a confined process is handed one.
    public init(adopting descriptor: consuming Descriptor) throws(KVMError) {
        let raw = descriptor.raw
        self.descriptor = descriptor
        let version = try kvmCall(raw, WAFER_KVM_GET_API_VERSION, "ask KVM for its version")
        guard version == KVM_API_VERSION else { throw .unavailable(.wrongVersion(version)) }
        let size = try kvmCall(raw, WAFER_KVM_GET_VCPU_MMAP_SIZE, "ask KVM for the size of a virtual CPU")
        // One page for the structure itself and one for port data is the least that makes sense.
        guard Int(size) >= MemoryLayout<kvm_run>.size else { throw .unavailable(.lacks("a usable run structure")) }
        runSize = Int(size)
        for (capability, name) in Self.needed where check(capability) == 0 { throw .unavailable(.lacks(name)) }
    }

    /// Why this host cannot run virtual machines; nil if it can.
    public static func probe() -> Unavailable? {
        do {
            _ = try KVMSystem()
            return nil
        } catch .unavailable(let reason) {
            return reason
        } catch .call(let error) {
            return .failed(error)
        } catch {
            return .lacks("\(error)")
        }
    }

    /// Whether this host can run virtual machines.
    public static var isAvailable: Bool { probe() == nil }

    /// The number of `/dev/kvm`, borrowed.
    public var raw: CInt { descriptor.raw }

    /// What KVM says of a capability: 0 if it is not there, otherwise 1 or the capability's value.
    public func check(_ capability: Capability) -> Int {
        // The call fails only for a bad descriptor; treat that as "not there".
        max(0, Int(wafer_ioctl(raw, WAFER_KVM_CHECK_EXTENSION, UInt(bitPattern: Int(capability.rawValue)))))
    }

    /// Whether KVM has a capability.
    public func supports(_ capability: Capability) -> Bool { check(capability) != 0 }

    /// The processor features that KVM can offer to guests on this host.
    public func supportedCPUID() throws(KVMError) -> [CPUIDEntry] {
        try CPUIDTable.read(raw, WAFER_KVM_GET_SUPPORTED_CPUID, "ask KVM for its processor features")
    }

    /// The leaves in which KVM tells guests what it has of Hyper-V's interfaces; none where it cannot say.
    public func supportedHyperVCPUID() throws(KVMError) -> [CPUIDEntry] {
        guard supports(.hyperVLeaves), supports(.hyperVInterruptController) else { return [] }
        return try CPUIDTable.read(raw, WAFER_KVM_GET_SUPPORTED_HV_CPUID, "ask KVM for its Hyper-V interfaces")
    }

    /// The model-specific registers that belong to a vCPU's state on this host.
    public func stateMSRs() throws(KVMError) -> [UInt32] {
        try indexList(WAFER_KVM_GET_MSR_INDEX_LIST, "list model-specific registers")
    }

    /// The model-specific registers that describe processor features on this host.
    public func featureMSRs() throws(KVMError) -> [UInt32] {
        try indexList(WAFER_KVM_GET_MSR_FEATURE_INDEX_LIST, "list feature registers")
    }

    /// Reads feature registers; those that the host does not have are left out.
    public func readFeatureMSRs(_ indices: [UInt32]) throws(KVMError) -> [ModelSpecificRegister] {
        try MSRTable.read(raw, indices)
    }

    /// Lists that begin with their count; the kernel writes the needed count if there is not enough room.
    private func indexList(_ request: UInt, _ operation: StaticString) throws(KVMError) -> [UInt32] {
        var room = 256
        while true {
            let buffer = KernelBuffer(count: 4 + room * 4)
            buffer.store(UInt32(room), at: 0)
            do {
                try kvmCall(raw, request, buffer, operation)
            } catch .call(let error) where error.number == E2BIG && room < 65_536 {
                room = max(room * 2, min(65_536, Int(buffer.load(at: 0, as: UInt32.self))))
                continue
            }
            let count = min(room, Int(buffer.load(at: 0, as: UInt32.self)))
            return (0..<count).map { buffer.load(at: 4 + $0 * 4) }
        }
    }
}
