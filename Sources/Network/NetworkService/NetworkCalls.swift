public import HostLink
public import Messages

// What the network agent answers at `ServiceAddress.network`. Calls that change nothing may come from anybody who can open the
// socket.

/// What is there now: adapters, switches, vmkernel ports, names.
public struct GetNetworkStatus: ServiceCall {
    public typealias Answer = NetworkStatus
    public static let kind: UInt16 = 1
    public init() {}
    public init(from reader: inout FieldReader) throws(MessageError) {}
    public func write(to writer: inout FieldWriter) {}
}

/// Asks for events: `NetworkEvent.statusChanged` with a `NetworkStatus` whenever one of its fields changed.
public struct WatchNetworkStatus: ServiceCall {
    public typealias Answer = NetworkStatus
    public static let kind: UInt16 = 2
    public init() {}
    public init(from reader: inout FieldReader) throws(MessageError) {}
    public func write(to writer: inout FieldWriter) {}
}

/// Kinds of events, as `ServiceClient.nextEvent` gives them.
public enum NetworkEvent {
    public static let statusChanged: UInt16 = 1
}

/// Asks the DHCP servers anew, for every vmkernel port that uses DHCP. Answered at once; the status tells what came of it.
public struct RenewLeases: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 3
    public init() {}
    public init(from reader: inout FieldReader) throws(MessageError) {}
    public func write(to writer: inout FieldWriter) {}
}

/// Begins anew with the management vmkernel ports: leases are given back and asked for again, everything is looked at. Guests notice
/// nothing.
public struct RestartManagement: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 4
    public init() {}
    public init(from reader: inout FieldReader) throws(MessageError) {}
    public func write(to writer: inout FieldWriter) {}
}

/// Sends ICMP echo requests to an address, one a second, and answers when the replies are in or time is over.
public struct Ping: ServiceCall {
    public typealias Answer = PingResult
    public static let kind: UInt16 = 5
    /// An IPv4 or IPv6 address, or a name to resolve first.
    public var target: String
    /// How many requests, 1 to 10.
    public var count: UInt8
    /// How long to wait for each reply, 1 to 10000 milliseconds.
    public var milliseconds: UInt32

    public init(_ target: String, count: UInt8 = 1, milliseconds: UInt32 = 1000) {
        self.target = target
        self.count = count
        self.milliseconds = milliseconds
    }
    public init(from reader: inout FieldReader) throws(MessageError) {
        target = try reader.read()
        count = try reader.read()
        milliseconds = try reader.read()
    }
    public func write(to writer: inout FieldWriter) {
        writer.write(target)
        writer.write(count)
        writer.write(milliseconds)
    }
}

public struct PingResult: MessageField, Equatable, Sendable {
    public var sent: UInt8
    public var received: UInt8
    /// Of the replies, in microseconds; 0 if there are none.
    public var averageMicroseconds: UInt32
    /// Why a request could not be sent, for a person; empty if all could.
    public var problem: String

    public init(sent: UInt8, received: UInt8, averageMicroseconds: UInt32, problem: String = "") {
        self.sent = sent
        self.received = received
        self.averageMicroseconds = averageMicroseconds
        self.problem = problem
    }
    public init(from reader: inout FieldReader) throws(MessageError) {
        sent = try reader.read()
        received = try reader.read()
        averageMicroseconds = try reader.read()
        problem = try reader.read()
    }
    public func write(to writer: inout FieldWriter) {
        writer.write(sent)
        writer.write(received)
        writer.write(averageMicroseconds)
        writer.write(problem)
    }
}

/// Looks a name up with the host's DNS servers and suffixes, or an address's name. Refused with a reason if there is no answer.
public struct Resolve: ServiceCall {
    public typealias Answer = [String]
    public static let kind: UInt16 = 6
    /// A name: answered with its addresses. An IPv4 or IPv6 address: answered with its names.
    public var name: String

    public init(_ name: String) { self.name = name }
    public init(from reader: inout FieldReader) throws(MessageError) { name = try reader.read() }
    public func write(to writer: inout FieldWriter) { writer.write(name) }
}

/// Connects a virtual machine's tap to a port group. It stays so, through restarts of the agent and changes of the port group,
/// until the tap goes or `DisconnectPort`.
public struct ConnectPort: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 7
    public var portGroup: String
    /// The tap's name.
    public var tap: String

    public init(portGroup: String, tap: String) {
        self.portGroup = portGroup
        self.tap = tap
    }
    public init(from reader: inout FieldReader) throws(MessageError) {
        portGroup = try reader.read()
        tap = try reader.read()
    }
    public func write(to writer: inout FieldWriter) {
        writer.write(portGroup)
        writer.write(tap)
    }
}

/// Takes a virtual machine's tap out of its port group.
public struct DisconnectPort: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 8
    public var tap: String

    public init(tap: String) { self.tap = tap }
    public init(from reader: inout FieldReader) throws(MessageError) { tap = try reader.read() }
    public func write(to writer: inout FieldWriter) { writer.write(tap) }
}

/// Begins a trial: the network settings as they are now come back by themselves unless `ConfirmTrial` comes in time. Call this, then
/// change the settings (`SetSettings` at the configuration service), then confirm over the changed network.
///
/// A trial that runs already goes on with the settings from before it, and its time begins anew.
public struct BeginTrial: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 9
    /// How long, 1 to 3600.
    public var seconds: UInt32

    public init(seconds: UInt32 = 60) { self.seconds = seconds }
    public init(from reader: inout FieldReader) throws(MessageError) { seconds = try reader.read() }
    public func write(to writer: inout FieldWriter) { writer.write(seconds) }
}

/// Keeps the settings that are on trial. Refused as `.badState` if none are: they are kept already, or gone.
public struct ConfirmTrial: ServiceCall {
    public typealias Answer = Done
    public static let kind: UInt16 = 10
    public init() {}
    public init(from reader: inout FieldReader) throws(MessageError) {}
    public func write(to writer: inout FieldWriter) {}
}
