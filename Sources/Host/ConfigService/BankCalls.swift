public import HostLink
public import Messages

/// The boot banks as they are.
public struct BankStatus: MessageField, Equatable, Sendable {
    public struct Bank: MessageField, Equatable, Sendable {
        /// `A` or `B`.
        public var name: String
        /// Empty if nothing usable is in it.
        public var version: String
        public var build: String

        public init(name: String, version: String, build: String) {
            self.name = name
            self.version = version
            self.build = build
        }

        public init(from reader: inout FieldReader) throws(MessageError) {
            name = try reader.read()
            version = try reader.read()
            build = try reader.read()
        }

        public func write(to writer: inout FieldWriter) {
            writer.write(name)
            writer.write(version)
            writer.write(build)
        }
    }

    /// The bank that runs; empty if the host was not started from one.
    public var running: String
    /// The bank that starts when none is on trial.
    public var standard: String
    /// The bank that the next start tries; empty for none.
    public var next: String
    /// The running system was not yet found to be well.
    public var isTrial: Bool
    public var banks: [Bank]

    public init(running: String, standard: String, next: String, isTrial: Bool, banks: [Bank]) {
        self.running = running
        self.standard = standard
        self.next = next
        self.isTrial = isTrial
        self.banks = banks
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        running = try reader.read()
        standard = try reader.read()
        next = try reader.read()
        isTrial = try reader.read()
        banks = try reader.read()
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(running)
        writer.write(standard)
        writer.write(next)
        writer.write(isTrial)
        writer.write(banks)
    }
}

/// Refused as `notSupported` if the host has no boot banks.
public struct GetBanks: EmptyCall {
    public typealias Answer = BankStatus
    public static let kind: UInt16 = 8
    public init() {}
}

/// Says that the running system is well: a trial is over. Answered with a sentence on what that changed. Asked by PID 1 once all agents
/// are healthy; asking again changes nothing. Refused as `invalid` if the system is on trial and its bank is not as its signed manifest
/// says.
public struct ConfirmBoot: EmptyCall {
    public typealias Answer = String
    public static let kind: UInt16 = 9
    public init() {}
}

/// Begins an update of the bank that does not run. One at a time; it belongs to the connection, and ends with it.
public struct BeginUpdate: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 10
    /// The bundle's length in bytes.
    public var size: UInt64

    public init(size: UInt64) { self.size = size }
    public init(from reader: inout FieldReader) throws(MessageError) { size = try reader.read() }
    public func write(to writer: inout FieldWriter) { writer.write(size) }
}

/// The bundle's next bytes, at most `ConfigService.chunkMax`. The whole bundle comes twice: the first time it is only checked, the second
/// time it is written. A refusal ends the update.
public struct UpdateData: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 11
    public var file: FileBytes

    public init(_ bytes: [UInt8]) { file = FileBytes(bytes) }
    public init(from reader: inout FieldReader) throws(MessageError) { file = try reader.read() }
    public func write(to writer: inout FieldWriter) { writer.write(file) }
}

/// All of the bundle has been sent twice: reads the bank back and puts it on trial. Answered with a sentence; may take a minute.
public struct FinishUpdate: EmptyCall {
    public typealias Answer = String
    public static let kind: UInt16 = 12
    public init() {}
}

/// Gives the update up. The other bank may be left without anything that starts.
public struct AbortUpdate: EmptyCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 13
    public init() {}
}
