import Linux
import TLS

/// Sends messages to one remote log server, and goes on trying while it is away.
final class SyslogSender: EventHandler, @unchecked Sendable {
    // @unchecked: belongs to the loop's thread.

    private static let retryMin: UInt64 = 1_000_000_000
    private static let retryMax: UInt64 = 60_000_000_000
    /// How often its address may be unknown before that is said.
    private static let unknownMax = 20
    /// A message goes out in one datagram of at most this, so that no path needs to cut it (RFC 5426, section 3.2).
    private static let datagramMax = 1400
    /// How long a server may take for the TLS handshake, in nanoseconds.
    static let handshakeMax: UInt64 = 20_000_000_000
    /// Reads before others get their turn.
    private static let readsMax = 16

    /// What TLS may have to say while the server does not read, in bytes.
    private static let outputMax = 1 << 17

    let target: SyslogTarget
    private var trust: TLSTrust?
    private let handshakeMax: UInt64
    private let loop: EventLoop
    private let resolve: (String, UInt16) -> InternetPeer?
    /// Tells the log itself that the server is away or back.
    private let report: (Bool, String) -> Void
    private var queue = SyslogQueue()
    /// What is left of what is being sent.
    private var rest: [UInt8] = []
    private var socket: ConnectedSocket?
    private var isConnected = false
    /// Between messages and socket, if there is TLS.
    private var session: TLSClient?
    private var timer: Timer?
    private var retry = SyslogSender.retryMin
    private var isAway = false
    private var unknown = 0
    private var isWaiting = false
    private var isClosed = false

    /// - Parameters:
    ///   - trust: what makes the server's certificate good; needed for TLS.
    ///   - resolve: an address for a host's name; nil if none is known now.
    ///   - report: called with false when the server cannot be reached any more, with true when it can again.
    init(
        _ target: SyslogTarget, trust: TLSTrust? = nil, handshakeMax: UInt64 = SyslogSender.handshakeMax,
        on loop: EventLoop, resolve: @escaping (String, UInt16) -> InternetPeer?,
        report: @escaping (Bool, String) -> Void
    ) throws(SystemError) {
        self.target = target
        self.trust = trust
        self.handshakeMax = handshakeMax
        self.loop = loop
        self.resolve = resolve
        self.report = report
        super.init()
        timer = try Timer(on: loop) { [weak self] in self?.timeIsUp() }
    }

    private func timeIsUp() {
        if isWaiting {
            isWaiting = false
            advance()
        } else if session?.state == .handshaking {
            fail("it does not answer as a TLS server does")
        }
    }

    /// Sends a message, or keeps it until it can be sent.
    func send(_ message: [UInt8]) {
        queue.append(message)
        advance()
    }

    /// Believes the server for other reasons from now on, and asks it anew who it is. What waits goes on waiting.
    func change(trust: TLSTrust?) {
        if trust == self.trust { return }
        self.trust = trust
        sayGoodbye()
        drop()
        isWaiting = false
        retry = Self.retryMin
        advance()
    }

    /// Gives the target up.
    func close() {
        isClosed = true
        sayGoodbye()
        drop()
        timer?.close(on: loop)
        timer = nil
    }

    override func ready(_ events: Readiness) {
        guard socket != nil else { return }
        // What a server says before it hangs up may be why.
        if let session { receive(session) }
        if socket == nil { return }
        if !events.isDisjoint(with: [.failed, .hangUp, .peerClosed]), target.transport != .udp { return fail() }
        if session == nil, events.contains(.readable) { discardInput() }
        if events.contains(.writable), socket != nil, !isConnected { connected() }
        if socket != nil { advance() }
    }

    /// Servers have nothing to say; what they say is thrown away, except that they hang up.
    private func discardInput() {
        while let bytes = socket?.receive() {
            if bytes.isEmpty { return target.transport == .udp ? () : fail() }
        }
    }

    private func receive(_ session: TLSClient) {
        for _ in 0..<Self.readsMax {
            guard let bytes = socket?.receive() else { return }
            let isNew = session.state == .handshaking
            if bytes.isEmpty { return fail(isNew ? "it closed the connection during the TLS handshake" : nil) }
            do throws(TLSFailure) { try session.receive(bytes) } catch { return fail("\(error)") }
            _ = session.takePlaintext()
            if session.outputCount > Self.outputMax { return fail("it does not read what it is sent") }
            if session.state == .closed { return fail("it closed the TLS session") }
            if isNew, session.state == .open { established() }
        }
    }

    private func advance() {
        guard !isClosed, !isWaiting else { return }
        if socket == nil {
            if queue.isEmpty { return }
            connect()
        }
        guard isConnected else { return }
        while send() {}
        let isDone = rest.isEmpty && (queue.isEmpty || !carriesMessages || target.transport == .udp)
        wait(for: isDone ? .readable : [.readable, .writable])
    }

    private var carriesMessages: Bool { isConnected && (session.map { $0.state == .open } ?? true) }

    /// - Returns: whether there may be more to do now.
    private func send() -> Bool {
        if rest.isEmpty { rest = next() }
        guard !rest.isEmpty, let result = socket?.send(rest.span) else { return false }
        switch result {
        case .bytes(let count):
            rest.removeFirst(min(count, rest.count))
            return true
        case .wouldBlock:
            // A datagram is not worth waiting for; the network's queue is full.
            if target.transport == .udp { rest = [] }
            return false
        case .closed:
            // For datagrams: an earlier one was refused, and the error is told now. Nobody listens there yet.
            if target.transport == .udp { rest = [] }
            fail()
            return false
        }
    }

    /// What to send next: what TLS has to say, or else a message. Empty if there is nothing now.
    private func next() -> [UInt8] {
        if let output = session?.takeOutput(), !output.isEmpty { return output }
        guard carriesMessages, let message = queue.first else { return [] }
        queue.removeFirst()
        if target.transport == .udp { return Array(message.prefix(Self.datagramMax)) }
        guard let session else { return SyslogMessage.counted(message) }
        do throws(TLSFailure) {
            try session.send(SyslogMessage.counted(message))
            return session.takeOutput()
        } catch {
            fail("\(error)")
            return []
        }
    }

    private func connect() {
        guard let peer = resolve(target.host, target.port) else {
            // Names take a moment, and at the host's start there is no network yet.
            unknown += 1
            if unknown > Self.unknownMax { return fail("its address is not known") }
            isWaiting = true
            timer?.set(after: Self.retryMin)
            return
        }
        unknown = 0
        do throws(SystemError) {
            let socket = try ConnectedSocket(target.transport == .udp ? .datagram : .stream, to: peer)
            try loop.watch(socket.raw, for: [.readable, .writable], self)
            self.socket = consume socket
            if target.transport == .udp { connected() }
        } catch { fail(error.reason) }
    }

    private func connected() {
        if let failure = socket?.failure("\(target)") { return fail(failure.reason) }
        isConnected = true
        if target.transport == .tls { beginSession() } else { established() }
    }

    private func beginSession() {
        guard let trust else { return fail("nothing says how to know its certificate") }
        do throws(TLSFailure) {
            session = try TLSClient(server: TLSServerName(target.host), trust: trust)
            timer?.set(after: handshakeMax)
        } catch { fail("\(error)") }
    }

    /// The server takes messages now.
    private func established() {
        if session != nil { timer?.cancel() }
        retry = Self.retryMin
        // Nobody answers datagrams: that they can be sent means little.
        guard isAway, target.transport != .udp else { return }
        isAway = false
        let lost = queue.takeLost()
        report(true, "the log server \(target) takes messages again" + (lost > 0 ? "; it misses \(lost)" : ""))
    }

    private func wait(for events: Readiness) {
        guard let raw = socket?.raw else { return }
        try? loop.rewatch(raw, for: events)
    }

    private func fail(_ reason: String? = nil) {
        let reason = reason ?? socket?.failure("\(target)")?.reason ?? "it closed the connection"
        sendLastWords()
        drop()
        isWaiting = true
        timer?.set(after: retry)
        retry = min(retry * 2, Self.retryMax)
        if !isAway { report(false, "the log server \(target) cannot be reached: \(reason)") }
        isAway = true
    }

    /// Ends a session in order, as far as that goes without waiting.
    private func sayGoodbye() {
        session?.close()
        sendLastWords()
    }

    /// Sends what TLS has left to say, which may be why it ends the session.
    private func sendLastWords() {
        guard let session else { return }
        let last = rest + session.takeOutput()
        // As much as goes at once: nobody waits for a server that is given up.
        if !last.isEmpty { _ = socket?.send(last.span) }
    }

    /// The message that was cut off is lost: nobody knows how much of it came.
    private func drop() {
        if let raw = socket?.raw { loop.unwatch(raw) }
        socket = nil
        session = nil
        isConnected = false
        rest = []
    }
}
