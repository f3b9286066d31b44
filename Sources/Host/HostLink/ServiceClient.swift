import Linux
import Messages

/// Asks a service one thing after another, waiting for each answer. For one thread.
public final class ServiceClient {
    private let descriptor: Descriptor
    private var parser = FrameParser()
    private var request: UInt32 = 0
    private var events: [(kind: UInt16, payload: [UInt8])] = []

    /// Connects to a service.
    public init(_ path: String) throws(ServiceError) {
        do { descriptor = try UnixSocket.connect(path) } catch {
            throw .unavailable(service: path, reason: error.reason)
        }
    }

    /// To wait for with others: readable when an event may have come. Read it with `nextEvent`.
    public var raw: CInt { descriptor.raw }

    /// Asks and waits.
    ///
    /// - Parameter milliseconds: how long to wait at most; nil: as long as the service lives.
    public func ask<Call: ServiceCall>(_ call: Call, milliseconds: Int? = 10_000) throws(ServiceError) -> Call.Answer {
        request &+= 1
        if request == 0 { request = 1 }
        guard descriptor.writeAll(call.frame(request: request).bytes) else { throw .closed }
        let deadline = milliseconds.map { monotonicNanoseconds() + UInt64(max(0, $0)) * 1_000_000 }
        while true {
            let frame = try next(until: deadline)
            if frame.request == 0 {
                events.append((frame.kind &- ReplyKind.event, frame.payload))
                continue
            }
            guard frame.request == request else { continue }
            return try frame.answer()
        }
    }

    /// An event that came meanwhile: its kind and its fields; nil if there is none now.
    public func nextEvent() throws(ServiceError) -> (kind: UInt16, payload: [UInt8])? {
        while events.isEmpty {
            guard let frame = try buffered() else {
                guard let bytes = descriptor.readAvailable() else { return nil }
                if bytes.isEmpty { throw .closed }
                parser.feed(bytes)
                continue
            }
            if frame.request == 0 { events.append((frame.kind &- ReplyKind.event, frame.payload)) }
        }
        return events.removeFirst()
    }

    private func buffered() throws(ServiceError) -> Frame? {
        do { return try parser.next() } catch { throw .protocolViolation(error) }
    }

    private func next(until deadline: UInt64?) throws(ServiceError) -> Frame {
        while true {
            if let frame = try buffered() { return frame }
            let left = deadline.map { deadline -> Int in
                let now = monotonicNanoseconds()
                return deadline <= now ? 0 : Int(clamping: (deadline - now) / 1_000_000 + 1)
            }
            let ready = try? poll([PollInterest(descriptor.raw, .readable)], milliseconds: left)
            if left == 0, ready?.first?.isEmpty ?? true { throw .timedOut }
            guard let bytes = descriptor.readAvailable() else { continue }
            if bytes.isEmpty { throw .closed }
            parser.feed(bytes)
        }
    }
}
