public import HostLink
public import HostModel
public import Messages

// What the host agent is asked about virtual machines, at `ServiceAddress.host`. A machine is named by its `.vmx` file,
// absolute. Numbers of calls are fixed.

/// All machines the host knows, by name.
public struct ListMachines: ServiceCall {
    public typealias Answer = [InventoryMachine]
    public static let kind: UInt16 = 1

    public init() {}
    public func write(to writer: inout FieldWriter) {}
    public init(from reader: inout FieldReader) throws(MessageError) {}
}

/// One machine, with what only its own process and its log know.
public struct MachineDetails: ServiceCall {
    public static let kind: UInt16 = 2
    public var file: String

    public init(file: String) { self.file = file }
    public func write(to writer: inout FieldWriter) { writer.write(file) }
    public init(from reader: inout FieldReader) throws(MessageError) { file = try reader.read() }

    public struct Answer: MessageField, Equatable, Sendable {
        public var machine: InventoryMachine
        /// Since power-on, in milliseconds; 0 while it does not run.
        public var uptime: UInt64
        /// How often the guest was reset since power-on.
        public var resets: UInt32
        /// A line for each device: `scsi0:0: disk …`; empty while it does not run.
        public var devices: [String]
        /// The last lines of its `vmware.log`, oldest first.
        public var log: [String]

        public init(
            machine: InventoryMachine, uptime: UInt64 = 0, resets: UInt32 = 0, devices: [String] = [],
            log: [String] = []
        ) {
            self.machine = machine
            self.uptime = uptime
            self.resets = resets
            self.devices = devices
            self.log = log
        }

        public func write(to writer: inout FieldWriter) {
            writer.write(machine)
            writer.write(uptime)
            writer.write(resets)
            writer.write(devices)
            writer.write(log)
        }

        public init(from reader: inout FieldReader) throws(MessageError) {
            self.init(
                machine: try reader.read(), uptime: try reader.read(), resets: try reader.read(),
                devices: try reader.read(), log: try reader.read())
        }
    }
}

/// Starts a machine. Answered when its guest runs, or refused with the reason why it does not.
public struct StartMachine: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 3
    public var file: String

    public init(file: String) { self.file = file }
    public func write(to writer: inout FieldWriter) { writer.write(file) }
    public init(from reader: inout FieldReader) throws(MessageError) { file = try reader.read() }
}

/// Stops or resets a machine. Answered when the order is carried out: for a guest's shutdown, when its button is pressed;
/// for power off, when its process has ended.
public struct StopMachine: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 4
    public var file: String
    public var how: StopKind

    public init(file: String, how: StopKind) {
        self.file = file
        self.how = how
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(file)
        writer.write(how)
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        file = try reader.read()
        how = try reader.read()
    }
}

/// Decides what a machine waits with.
public struct AnswerQuestion: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 5
    public var file: String
    public var question: UInt32
    /// The position among the question's choices.
    public var choice: UInt32

    public init(file: String, question: UInt32, choice: UInt32) {
        self.file = file
        self.question = question
        self.choice = choice
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(file)
        writer.write(question)
        writer.write(choice)
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        file = try reader.read()
        question = try reader.read()
        choice = try reader.read()
    }
}

/// Puts a machine in the host's settings. One that is there already is no error.
public struct RegisterMachine: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 6
    public var file: String

    public init(file: String) { self.file = file }
    public func write(to writer: inout FieldWriter) { writer.write(file) }
    public init(from reader: inout FieldReader) throws(MessageError) { file = try reader.read() }
}

/// Takes a machine out of the host's settings; its files stay. Refused while it runs.
public struct UnregisterMachine: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 7
    public var file: String

    public init(file: String) { self.file = file }
    public func write(to writer: inout FieldWriter) { writer.write(file) }
    public init(from reader: inout FieldReader) throws(MessageError) { file = try reader.read() }
}

/// Says whether, when and how a machine starts and stops with the host. A machine that is not registered becomes so.
public struct SetAutostart: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 8
    public var file: String
    /// Its place in the order, from 1; nil: it is not started.
    public var order: UInt32?
    /// Seconds; nil: the host's.
    public var delay: UInt32?
    /// nil: the host's.
    public var stopAction: AutostartSettings.StopAction?

    public init(
        file: String, order: UInt32?, delay: UInt32? = nil, stopAction: AutostartSettings.StopAction? = nil
    ) {
        self.file = file
        self.order = order
        self.delay = delay
        self.stopAction = stopAction
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(file)
        writer.write(order)
        writer.write(delay)
        writer.write(stopAction)
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        file = try reader.read()
        order = try reader.read()
        delay = try reader.read()
        stopAction = try reader.read()
    }
}

/// Looks for `.vmx` files on the host's disks again. Answered with how many machines there are then.
public struct ScanMachines: ServiceCall {
    public typealias Answer = UInt32
    public static let kind: UInt16 = 9

    public init() {}
    public func write(to writer: inout FieldWriter) {}
    public init(from reader: inout FieldReader) throws(MessageError) {}
}

/// Stops all machines, for the host's shutdown: as settings say, and by force where time runs out. Nothing is started any
/// more from then on, unless somebody asks for it. Answered when all are off, with what did not go as wished.
public struct StopAllMachines: ServiceCall {
    /// Sentences for the console.
    public typealias Answer = [String]
    public static let kind: UInt16 = 10
    /// How long it may take.
    public var seconds: UInt32

    public init(seconds: UInt32) { self.seconds = seconds }
    public func write(to writer: inout FieldWriter) { writer.write(seconds) }
    public init(from reader: inout FieldReader) throws(MessageError) { seconds = try reader.read() }
}
