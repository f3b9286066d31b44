import Linux

/// One connection. On its loop's thread only. It and its hub keep each other until the connection ends.
final class RFBClient: EventHandler, @unchecked Sendable {
    private let descriptor: Descriptor
    private var session: RFBSession
    private let hub: RFBHub
    /// What of the session's output is sent.
    private var sent = 0
    private var isClosed = false
    /// Everything is sent that can be, then the connection ends.
    private var isEnding = false
    private var waitsForRoom = false
    /// Keys it holds down, which go up when it leaves.
    private var pressed: [KeyEvent] = []
    private var lastPointer: PointerEvent?
    /// No keyboard has more keys to hold.
    private static let pressedMax = 64

    init(_ descriptor: consuming Descriptor, _ session: RFBSession, _ hub: RFBHub) {
        self.descriptor = descriptor
        self.session = session
        self.hub = hub
    }

    var isRunning: Bool { session.isRunning }
    var isWaiting: Bool { session.updates.isWaiting }

    func start() throws(SystemError) {
        try hub.loop.watch(descriptor.raw, for: .readable, self)
        flush()
    }

    /// Ends the connection. Keys and buttons that were down go up.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        hub.loop.unwatch(descriptor.raw)
        for key in pressed { hub.input.key(KeyEvent(scancode: key.scancode, keysym: key.keysym, isDown: false)) }
        if var pointer = lastPointer, !pointer.buttons.isEmpty {
            pointer.buttons = []
            hub.input.pointer(pointer)
        }
    }

    override func ready(_ events: Readiness) {
        if events.contains(.readable) {
            guard let bytes = descriptor.readAvailable(limit: 4096) else { return }
            if bytes.isEmpty { return hub.drop(self) }
            receive(bytes)
        }
        if !isClosed, events.contains(.writable) { flush() }
        if events.contains(.hangUp) || events.contains(.failed) { hub.drop(self) }
    }

    private func receive(_ bytes: [UInt8]) {
        do throws(RFBError) {
            var events: [RFBEvent] = []
            try session.receive(bytes) { events.append($0) }
            for event in events { handle(event) }
        } catch {
            if error == .authentication { hub.failed() }
            isEnding = true
        }
        if isClosed { return }
        if isWaiting { hub.lookIfDue() }
        flush()
    }

    private func handle(_ event: RFBEvent) {
        switch event {
        case .joined(let isShared): hub.joined(self, isShared: isShared)
        case .key(let key):
            let isSame = { (other: KeyEvent) in
                key.scancode == nil ? other.keysym == key.keysym : other.scancode == key.scancode
            }
            if !key.isDown {
                pressed.removeAll(where: isSame)
            } else if !pressed.contains(where: isSame), pressed.count < Self.pressedMax {
                pressed.append(key)
            }
            hub.input.key(key)
        case .pointer(let pointer):
            lastPointer = pointer
            hub.input.pointer(pointer)
        }
    }

    func screenChanged(_ change: ScreenChange, _ surface: Surface) {
        session.screenChanged(change, width: surface.width, height: surface.height)
    }

    /// Encodes and sends as far as the socket takes it.
    func flush() {
        guard !isClosed else { return }
        // A client that takes everything gets no more than this at once; the others want something, too.
        for _ in 0..<16 {
            if sent == session.output.count {
                session.output.removeAll(keepingCapacity: true)
                sent = 0
                session.makeUpdate(from: hub.surface)
                if session.output.isEmpty { break }
            }
            let pending = session.output[sent...]
            switch unsafe pending.withUnsafeBytes({ unsafe descriptor.write($0) }) {
            case .bytes(let count): sent += count
            case .wouldBlock: return isEnding ? hub.drop(self) : watch(waitsForRoom: true)
            case .closed: return hub.drop(self)
            }
        }
        if isEnding, sent == session.output.count { return hub.drop(self) }
        watch(waitsForRoom: sent < session.output.count || !session.updates.isBetweenUpdates)
        if isWaiting { hub.isWaited() }
    }

    private func watch(waitsForRoom: Bool) {
        guard waitsForRoom != self.waitsForRoom else { return }
        self.waitsForRoom = waitsForRoom
        try? hub.loop.rewatch(descriptor.raw, for: waitsForRoom ? [.readable, .writable] : .readable)
    }
}
