public import Linux

/// Sockets that keep packets apart (SOCK_SEQPACKET or SOCK_DGRAM), with another process or a test at their other end. A
/// packet there has a `NetHeader` before it.
public final class SocketBackend: NetBackend {
    /// One socket.
    public final class Queue: NetQueue {
        private let socket: Descriptor
        public var descriptor: CInt { socket.raw }

        /// - Parameter socket: must not block.
        public init(_ socket: consuming Descriptor) { self.socket = socket }

        @unsafe public func send(_ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult {
            unsafe writeRecord(socket.raw, pieces, count)
        }

        @unsafe public func receive(_ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult {
            let result = unsafe readRecord(socket.raw, pieces, count)
            // Nothing at all is the end: no packet goes without its header.
            return result == .done(0) ? .wouldBlock : result
        }
    }

    private let queues: [Queue]
    public let offloads: NetOffloads
    public var queueCount: Int { queues.count }

    /// - Parameters:
    ///   - queues: at least one.
    ///   - offloads: what the other end takes and makes.
    public init(_ queues: [Queue], offloads: NetOffloads = .all) {
        precondition(!queues.isEmpty, "a back end has at least one queue")
        self.queues = queues
        self.offloads = offloads
    }

    public func queue(_ index: Int) -> any NetQueue { queues[index] }
    public func setGuestOffloads(_ offloads: NetOffloads) {}
    public func setActiveQueues(_ count: Int) {}
    public func setFilter(_ filter: NetFilter) {}
    public func setLink(up: Bool) {}
}
