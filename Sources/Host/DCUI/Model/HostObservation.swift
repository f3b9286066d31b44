public import Addresses
public import HostModel

/// What the direct console knows about its host, asked for every few seconds. A part is nil while nobody answers who knows it.
public struct HostObservation: Equatable, Sendable {
    /// Such as `0.1.0`.
    public var version = ""
    public var hardware: HardwareObservation?
    public var settings: HostSettings?
    public var network: NetworkObservation?
    public var machines: [MachineObservation]?
    public var banks: BankObservation?
    /// What the administrator should know about how settings are kept (a damaged copy, no place to keep them), devices without a
    /// driver, a crash. Sentences.
    public var notices: [String] = []
    /// How many disks there are that can hold virtual machines.
    public var dataDisks: Int?
    /// Seconds since the host started.
    public var uptime: UInt64?

    public init() {}

    /// Takes the place of an earlier observation. The administrator's settings stay known while their service restarts.
    func following(_ earlier: HostObservation) -> HostObservation {
        var observation = self
        if observation.settings == nil { observation.settings = earlier.settings }
        if observation.hardware == nil { observation.hardware = earlier.hardware }
        return observation
    }
}

/// The server.
public struct HardwareObservation: Equatable, Sendable {
    public var maker = ""
    public var model = ""
    public var serialNumber = ""
    /// The processors' own name.
    public var processor = ""
    /// Sockets with a processor in them.
    public var packages = 1
    public var cores = 1
    public var threads = 1
    /// In bytes.
    public var memory: UInt64 = 0
    public var virtualization = Virtualization.available

    /// Whether virtual machines can run: by the processor's VT-x or AMD-V.
    public enum Virtualization: Sendable { case available, offInFirmware, missing }

    public init() {}
}

/// The network as it is now.
public struct NetworkObservation: Equatable, Sendable {
    public var hostName = ""
    public var adapters: [AdapterObservation] = []
    /// Of the management port.
    public var addresses: [AddressObservation] = []
    public var macAddress = ""
    public var gateway: IPv4Address?
    public var dnsServers: [IPv4Address] = []
    public var searchDomains: [String] = []
    /// Seconds until settings on trial are taken back; nil: none are on trial.
    public var trialSecondsLeft: UInt32?
    /// What of the settings could not be made so. Sentences.
    public var problems: [String] = []

    public init() {}
}

/// An address of the host.
public struct AddressObservation: Equatable, Sendable {
    public enum Origin: Sendable { case dhcp, fixed, automatic, linkLocal }
    /// Without its prefix length.
    public var text: String
    public var prefix: Int
    public var origin: Origin

    public init(_ text: String, prefix: Int, _ origin: Origin) {
        self.text = text
        self.prefix = prefix
        self.origin = origin
    }

    public var isIPv6: Bool { text.contains(":") }
}

/// A physical network adapter.
public struct AdapterObservation: Equatable, Sendable {
    /// `vmnicN`.
    public var name = ""
    public var macAddress = ""
    public var driver = ""
    /// Such as `0000:01:00.0`.
    public var bus = ""
    public var hasLink = false
    /// In Mbit/s; nil if unknown or without link.
    public var speed: Int?

    public init() {}
}

/// A virtual machine.
public struct MachineObservation: Equatable, Sendable {
    public enum Power: Sendable { case off, starting, running, paused, stopping, suspended }
    /// Its `.vmx` file, which names it towards services.
    public var file = ""
    public var name = ""
    public var power = Power.off
    /// In MiB.
    public var memory: UInt64 = 0
    public var processors = 1
    public var guest = ""
    /// Place in the order of automatic starts; nil: not started.
    public var startOrder: UInt32?
    /// Something to be answered or mended: a question of the machine, a problem with its file.
    public var trouble = ""

    public init() {}

    /// Whether restarting the host would cut it off.
    public var isOn: Bool { power != .off && power != .suspended }
}

/// The two places of the boot medium that hold a system.
public struct BankObservation: Equatable, Sendable {
    public struct Bank: Equatable, Sendable {
        /// `A` or `B`.
        public var name: String
        /// Empty if there is no system in it.
        public var version: String
        /// In a person's words: "running", "ready", "did not start".
        public var state: String

        public init(name: String, version: String, state: String) {
            self.name = name
            self.version = version
            self.state = state
        }
    }
    public var running: String
    /// The running bank has not been confirmed yet; after a failure the other one starts.
    public var isTrial: Bool
    public var banks: [Bank]

    public init(running: String, isTrial: Bool, banks: [Bank]) {
        self.running = running
        self.isTrial = isTrial
        self.banks = banks
    }
}
