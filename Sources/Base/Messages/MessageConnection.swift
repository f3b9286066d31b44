public import Linux

/// A connection to another process, on an event loop: whole messages in and out.
public final class MessageConnection: EventHandler, @unchecked Sendable {
    // @unchecked: everything belongs to the loop's thread.

    /// A peer that does not read is given up when this many bytes wait for it.
    public static let backlogMax = 8 << 20

    private let descriptor: Descriptor
    private let loop: EventLoop
    private var parser = FrameParser()
    private var output: [UInt8] = []
    private var isOpen = true

    /// Called for every message.
    public var received: ((MessageConnection, Frame) -> Void)?
    /// Called once when the connection is gone; the reason is nil if the peer closed it.
    public var closed: ((MessageConnection, MessageError?) -> Void)?

    /// Takes over a connected socket that does not block. On the loop's thread.
    public init(_ descriptor: consuming Descriptor, on loop: EventLoop) throws(SystemError) {
        self.descriptor = descriptor
        self.loop = loop
        super.init()
        try loop.watch(self.descriptor.raw, for: .readable, self)
    }

    public func send(_ frame: Frame) {
        guard isOpen else { return }
        output += frame.bytes
        if output.count > Self.backlogMax { return close(nil) }
        flush()
    }

    /// Ends the connection from this side.
    public func close() { close(nil) }

    private func close(_ reason: MessageError?) {
        guard isOpen else { return }
        isOpen = false
        loop.unwatch(descriptor.raw)
        closed?(self, reason)
        received = nil
        closed = nil
    }

    public override func ready(_ events: Readiness) {
        if events.contains(.writable) { flush() }
        guard events.contains(.readable), isOpen else {
            if events.contains(.hangUp) || events.contains(.failed) { close(nil) }
            return
        }
        guard let bytes = descriptor.readAvailable() else { return }
        if bytes.isEmpty { return close(nil) }
        parser.feed(bytes)
        do {
            while isOpen, let frame = try parser.next() { received?(self, frame) }
        } catch { close(error) }
    }

    private func flush() {
        while !output.isEmpty {
            switch unsafe output.withUnsafeBytes({ unsafe descriptor.write($0) }) {
            case .bytes(let count): output.removeFirst(count)
            case .wouldBlock:
                try? loop.rewatch(descriptor.raw, for: [.readable, .writable])
                return
            case .closed: return close(nil)
            }
        }
        try? loop.rewatch(descriptor.raw, for: .readable)
    }
}
