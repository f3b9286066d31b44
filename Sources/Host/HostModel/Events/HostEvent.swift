/// Something that happened on the host, in a sentence.
public struct HostEvent: Equatable, Sendable {
    public enum Severity: UInt16, Sendable, CaseIterable {
        case info, warning, error
    }

    /// Counts from 1 since the host agent began its list; later events have higher numbers.
    public var number: UInt64
    /// Seconds since 1970.
    public var time: Int64
    public var severity: Severity
    /// Who made it happen: an account; empty for the host itself.
    public var user: String
    /// What it happened to: a machine's `.vmx` file; empty for the host.
    public var subject: String
    /// `web01 was started by root.`
    public var text: String

    public init(
        number: UInt64 = 0, time: Int64, severity: Severity = .info, user: String = "", subject: String = "",
        _ text: String
    ) {
        self.number = number
        self.time = time
        self.severity = severity
        self.user = user
        self.subject = subject
        self.text = text
    }
}

/// The last events; older ones are forgotten.
public struct EventRing: Sendable {
    public let capacity: Int
    private var events: [HostEvent] = []
    /// The last event's number; 0 before the first.
    public private(set) var last: UInt64 = 0

    /// - Parameter capacity: how many are kept, at least one.
    public init(capacity: Int = 1000) { self.capacity = max(1, capacity) }

    /// Gives an event its number and keeps it.
    ///
    /// - Returns: the event as it is kept.
    public mutating func append(_ event: HostEvent) -> HostEvent {
        last &+= 1
        var event = event
        event.number = last
        // In batches, so that a full ring does not move all of its events for each new one.
        if events.count >= capacity + capacity / 4 { events.removeFirst(events.count - capacity + 1) }
        events.append(event)
        return event
    }

    /// Events with a number above `number`, oldest first.
    ///
    /// - Parameter limit: if there are more, the youngest of them.
    public func after(_ number: UInt64, limit: Int = .max) -> [HostEvent] {
        Array(events.suffix(capacity).drop { $0.number <= number }.suffix(max(0, limit)))
    }
}
