public import HostLink
public import HostModel
public import Messages

// What the host agent is asked about accounts and about what happened.

/// Whether somebody is who they say. A wrong password, an unknown account and a locked one are refused as `denied`, with a
/// sentence that may be shown.
public struct Login: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 20
    public var user: String
    public var password: String
    /// Where they are, such as an address; empty: at the host's own console. Failures from afar do not lock the console, and
    /// without a root password nobody gets in from afar.
    public var origin: String

    public init(user: String, password: String, origin: String = "") {
        self.user = user
        self.password = password
        self.origin = origin
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(user)
        writer.write(password)
        writer.write(origin)
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        user = try reader.read()
        password = try reader.read()
        origin = try reader.read()
    }
}

/// Gives an account a new password. The old one is checked like a login, unless none is set. A new one that is too weak is
/// refused as `invalid`, a sentence a line.
public struct SetPassword: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 21
    public var user: String
    public var old: String
    public var new: String

    public init(user: String, old: String, new: String) {
        self.user = user
        self.old = old
        self.new = new
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(user)
        writer.write(old)
        writer.write(new)
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        user = try reader.read()
        old = try reader.read()
        new = try reader.read()
    }
}

/// What happened, oldest first.
public struct ListEvents: ServiceCall {
    public typealias Answer = [HostEvent]
    public static let kind: UInt16 = 22
    /// Events with higher numbers only; 0 for all.
    public var after: UInt64
    /// If there are more, the youngest of them.
    public var limit: UInt32

    public init(after: UInt64 = 0, limit: UInt32 = 1000) {
        self.after = after
        self.limit = limit
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(after)
        writer.write(limit)
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        after = try reader.read()
        limit = try reader.read()
    }
}

/// Tasks that run, and the last that ended, oldest first.
public struct ListTasks: ServiceCall {
    public typealias Answer = [HostTask]
    public static let kind: UInt16 = 23

    public init() {}
    public func write(to writer: inout FieldWriter) {}
    public init(from reader: inout FieldReader) throws(MessageError) {}
}

/// Sends `HostAnnouncement`s over this connection from now on.
public struct WatchMachines: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 24

    public init() {}
    public func write(to writer: inout FieldWriter) {}
    public init(from reader: inout FieldReader) throws(MessageError) {}
}

/// What those who watch are told unasked.
public enum HostAnnouncement: Equatable, Sendable {
    /// A machine is new, or something about it has changed.
    case machine(InventoryMachine)
    /// The host knows this machine no more.
    case removed(file: String)
    case event(HostEvent)

    /// Kinds of events on the wire.
    public static let machineKind: UInt16 = 1
    public static let removedKind: UInt16 = 2
    public static let eventKind: UInt16 = 3

    /// Takes an event apart that `ServiceClient.nextEvent` gave.
    public init(kind: UInt16, payload: [UInt8]) throws(MessageError) {
        var reader = FieldReader(payload)
        switch kind {
        case Self.machineKind: self = .machine(try reader.read())
        case Self.removedKind: self = .removed(file: try reader.read())
        case Self.eventKind: self = .event(try reader.read())
        default: throw .unknownKind(kind)
        }
        try reader.finish()
    }
}
