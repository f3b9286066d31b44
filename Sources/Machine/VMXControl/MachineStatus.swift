public import Messages

/// What a VM is and does at this moment.
public struct MachineStatus: Equatable, Sendable, MessageField {
    public var displayName: String
    public var uuid: String
    /// The `.vmx` file, absolute.
    public var configurationFile: String
    public var process: UInt32
    /// `running`, `paused`, `question`, `crashed`, `poweredOff`.
    public var state: String
    /// Since power-on, in milliseconds.
    public var uptime: UInt64
    public var memoryMegabytes: UInt32
    public var processors: UInt32
    /// How often the guest was reset since power-on.
    public var resets: UInt32
    public var devices: [Device]
    public var question: Question?
    /// What VMware Tools in the guest say; nil if none were heard since it started.
    public var tools: Tools?

    public init(
        displayName: String, uuid: String, configurationFile: String, process: UInt32, state: String, uptime: UInt64,
        memoryMegabytes: UInt32, processors: UInt32, resets: UInt32, devices: [Device], question: Question?,
        tools: Tools? = nil
    ) {
        self.displayName = displayName
        self.uuid = uuid
        self.configurationFile = configurationFile
        self.process = process
        self.state = state
        self.uptime = uptime
        self.memoryMegabytes = memoryMegabytes
        self.processors = processors
        self.resets = resets
        self.devices = devices
        self.question = question
        self.tools = tools
    }

    public struct Device: Equatable, Sendable, MessageField {
        /// The prefix of its keys: `scsi0:0`, `ethernet0`.
        public var name: String
        /// What it is and what stands behind it, for people.
        public var summary: String
        /// PCI address such as `00:03.0`; empty if it has none.
        public var address: String

        public init(name: String, summary: String, address: String) {
            self.name = name
            self.summary = summary
            self.address = address
        }

        public func write(to writer: inout FieldWriter) {
            writer.write(name)
            writer.write(summary)
            writer.write(address)
        }

        public init(from reader: inout FieldReader) throws(MessageError) {
            name = try reader.read()
            summary = try reader.read()
            address = try reader.read()
        }
    }

    /// Something only a person can decide; the VM is paused until then.
    public struct Question: Equatable, Sendable, MessageField {
        public var identifier: UInt32
        public var text: String
        /// What may be answered; the answer is the position.
        public var choices: [String]

        public init(identifier: UInt32, text: String, choices: [String]) {
            self.identifier = identifier
            self.text = text
            self.choices = choices
        }

        public func write(to writer: inout FieldWriter) {
            writer.write(identifier)
            writer.write(text)
            writer.write(choices)
        }

        public init(from reader: inout FieldReader) throws(MessageError) {
            identifier = try reader.read()
            text = try reader.read()
            choices = try reader.read()
        }
    }

    /// A guest's word about itself: bounded and printable, nothing more.
    public struct Tools: Equatable, Sendable, MessageField {
        public var isRunning: Bool
        /// `12.1.5`; empty if they did not say.
        public var version: String
        /// The guest's first address; empty if they did not say.
        public var address: String
        public var hostName: String
        /// The guest's system in words.
        public var system: String

        public init(isRunning: Bool, version: String, address: String, hostName: String, system: String) {
            self.isRunning = isRunning
            self.version = version
            self.address = address
            self.hostName = hostName
            self.system = system
        }

        public func write(to writer: inout FieldWriter) {
            writer.write(isRunning)
            writer.write(version)
            writer.write(address)
            writer.write(hostName)
            writer.write(system)
        }

        public init(from reader: inout FieldReader) throws(MessageError) {
            isRunning = try reader.read()
            version = try reader.read()
            address = try reader.read()
            hostName = try reader.read()
            system = try reader.read()
        }
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(displayName)
        writer.write(uuid)
        writer.write(configurationFile)
        writer.write(process)
        writer.write(state)
        writer.write(uptime)
        writer.write(memoryMegabytes)
        writer.write(processors)
        writer.write(resets)
        writer.write(devices)
        writer.write(question)
        writer.write(tools)
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        displayName = try reader.read()
        uuid = try reader.read()
        configurationFile = try reader.read()
        process = try reader.read()
        state = try reader.read()
        uptime = try reader.read()
        memoryMegabytes = try reader.read()
        processors = try reader.read()
        resets = try reader.read()
        devices = try reader.read()
        question = try reader.read()
        tools = try reader.read()
    }
}
