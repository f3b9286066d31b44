/// A virtual machine as the host knows it.
public struct InventoryMachine: Equatable, Sendable {
    /// Its `.vmx` file, absolute and without links: what tells machines apart.
    public var file: String
    /// What the file says.
    public var description: MachineDescription
    /// What is wrong with the file, in sentences; empty while it can be started.
    public var problems: [String] = []
    /// Whether it is in the host's settings; otherwise its file was found on a disk.
    public var isRegistered = false
    public var power = PowerState.poweredOff
    /// Only a person can decide this; set while `power` is `question`.
    public var question: MachineQuestion?
    /// The process that runs it.
    public var process: Int32?
    /// Its place in the order of automatic starts; nil: it is not started.
    public var startOrder: UInt32?
    /// Seconds to wait after starting it, before the next one; nil: the host's.
    public var startDelay: UInt32?
    /// nil: the host's.
    public var stopAction: AutostartSettings.StopAction?

    public init(file: String, description: MachineDescription) {
        self.file = file
        self.description = description
    }

    public var name: String { description.displayName }

    /// A machine without a process is what its file says.
    mutating func settlePower() {
        if !power.isOn { power = description.isSuspended ? .suspended : .poweredOff }
    }
}

/// What a `.vmx` file says that a list of machines shows.
public struct MachineDescription: Equatable, Sendable {
    public var displayName: String
    /// VMware's identifier, such as `debian12-64`; empty if not given.
    public var guestOS = ""
    /// In MiB.
    public var memory: UInt32 = 0
    public var processors: UInt32 = 0
    /// Where its process listens while it runs.
    public var controlSocket = ""
    /// It was suspended: it goes on from a file when it is started.
    public var isSuspended = false

    public init(displayName: String) { self.displayName = displayName }
}

/// What a machine does.
public enum PowerState: UInt16, Sendable, CaseIterable {
    case poweredOff
    /// Its process is there, but does not answer yet.
    case starting
    case running
    case paused
    /// Paused until its question is answered.
    case question
    /// The guest broke; its process ends.
    case crashed
    /// Its state is in a file, from which it goes on.
    case suspended

    /// Whether there is a process.
    public var isOn: Bool { self != .poweredOff && self != .suspended }

    /// For people: `powered off`.
    public var text: String {
        switch self {
        case .poweredOff: "powered off"
        case .starting: "starting"
        case .running: "running"
        case .paused: "paused"
        case .question: "waiting for an answer"
        case .crashed: "crashed"
        case .suspended: "suspended"
        }
    }
}

/// Something that a machine waits with until a person has decided.
public struct MachineQuestion: Equatable, Sendable {
    public var identifier: UInt32
    public var text: String
    /// What may be answered; the answer is the position.
    public var choices: [String]

    public init(identifier: UInt32, text: String, choices: [String]) {
        self.identifier = identifier
        self.text = text
        self.choices = choices
    }
}

/// How a machine is stopped.
public enum StopKind: UInt16, Sendable, CaseIterable {
    /// At once, as if its plug were pulled.
    case powerOff
    /// By its power button: the guest shuts down when it wants to.
    case guestShutdown
    /// Starts the guest anew, at once.
    case reset
}
