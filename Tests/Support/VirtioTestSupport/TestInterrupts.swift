public import DeviceModel
public import Linux
import Synchronization

/// Message-signalled vectors whose events a test looks at itself.
public final class TestInterrupts: MessageInterrupts {
    public let events: [EventFD]
    private let messages: Mutex<[InterruptMessage?]>

    public init(_ count: Int) throws(SystemError) {
        var events: [EventFD] = []
        for _ in 0..<count { events.append(try EventFD()) }
        self.events = events
        messages = Mutex(Array(repeating: nil, count: count))
    }

    public var vectorCount: Int { events.count }
    public func event(_ vector: Int) -> EventFD { events[vector] }
    public func setMessage(_ vector: Int, _ message: InterruptMessage?) { messages.withLock { $0[vector] = message } }
    /// What a vector delivers now.
    public func message(_ vector: Int) -> InterruptMessage? { messages.withLock { $0[vector] } }
}

/// A wire that remembers its level and how often it rose.
public final class TestLine: InterruptLine {
    private let level = Mutex((isRaised: false, edges: 0))
    public init() {}
    public func set(_ level: Bool) {
        self.level.withLock { state in
            if level, !state.isRaised { state.edges += 1 }
            state.isRaised = level
        }
    }
    public var isRaised: Bool { level.withLock { $0.isRaised } }
    public var edges: Int { level.withLock { $0.edges } }
}

/// Remembers which doorbell is bound where.
public final class TestBinder: DoorbellBinder {
    private let bound = Mutex<[DoorbellPlace: EventFD]>([:])
    public init() {}
    public func bind(_ event: EventFD, at place: DoorbellPlace) { bound.withLock { $0[place] = event } }
    public func unbind(_ event: EventFD, at place: DoorbellPlace) {
        _ = bound.withLock { $0.removeValue(forKey: place) }
    }
    public var places: Set<DoorbellPlace> { bound.withLock { Set($0.keys) } }
}
