import CLinux

/// Readiness of a descriptor, as `poll` asks for and reports it.
public struct PollEvents: OptionSet, Sendable {
    public let rawValue: Int16
    public init(rawValue: Int16) { self.rawValue = rawValue }

    public static let readable = PollEvents(rawValue: Int16(POLLIN))
    public static let writable = PollEvents(rawValue: Int16(POLLOUT))
    /// Reported without being asked for.
    public static let error = PollEvents(rawValue: Int16(POLLERR))
    /// Reported without being asked for.
    public static let hangUp = PollEvents(rawValue: Int16(POLLHUP))
    /// The number is no open descriptor. Reported without being asked for.
    public static let invalid = PollEvents(rawValue: Int16(POLLNVAL))
}

/// One descriptor to wait for.
public struct PollInterest: Sendable {
    public var descriptor: CInt
    public var events: PollEvents

    public init(_ descriptor: CInt, _ events: PollEvents) {
        self.descriptor = descriptor
        self.events = events
    }
}

/// Waits until one of the descriptors is ready or the time is over.
///
/// - Parameter milliseconds: how long at most; nil for no limit.
/// - Returns: what each is ready for, in the order of `interests`; all empty after a time-out or a signal.
public func poll(_ interests: [PollInterest], milliseconds: Int?) throws(SystemError) -> [PollEvents] {
    var entries = interests.map { pollfd(fd: $0.descriptor, events: $0.events.rawValue, revents: 0) }
    let limit = CInt(clamping: milliseconds ?? -1)
    let count = unsafe entries.withUnsafeMutableBufferPointer {
        unsafe CLinux.poll($0.baseAddress, nfds_t($0.count), limit)
    }
    if count < 0 {
        let error = SystemError.last("wait for descriptors")
        if error.number != EINTR { throw error }
        return interests.map { _ in [] }
    }
    return entries.map { PollEvents(rawValue: $0.revents) }
}
