import Linux

/// Sends messages to one remote log server, and goes on trying while it is away.
final class SyslogSender: EventHandler, @unchecked Sendable {
    // @unchecked: belongs to the loop's thread.

    private static let retryMin: UInt64 = 1_000_000_000
    private static let retryMax: UInt64 = 60_000_000_000
    /// How often its address may be unknown before that is said.
    private static let unknownMax = 20
    /// A message goes out in one datagram of at most this, so that no path needs to cut it (RFC 5426, section 3.2).
    private static let datagramMax = 1400

    let target: SyslogTarget
    private let loop: EventLoop
    private let resolve: (String, UInt16) -> InternetPeer?
    /// Tells the log itself that the server is away or back.
    private let report: (Bool, String) -> Void
    private var queue = SyslogQueue()
    /// What is left of the message that is being sent.
    private var rest: [UInt8] = []
    private var socket: ConnectedSocket?
    private var isConnected = false
    private var timer: Timer?
    private var retry = SyslogSender.retryMin
    private var isAway = false
    private var unknown = 0
    private var isWaiting = false
    private var isClosed = false

    /// - Parameters:
    ///   - resolve: an address for a host's name; nil if none is known now.
    ///   - report: called with false when the server cannot be reached any more, with true when it can again.
    init(
        _ target: SyslogTarget, on loop: EventLoop, resolve: @escaping (String, UInt16) -> InternetPeer?,
        report: @escaping (Bool, String) -> Void
    ) throws(SystemError) {
        self.target = target
        self.loop = loop
        self.resolve = resolve
        self.report = report
        super.init()
        timer = try Timer(on: loop) { [weak self] in
            self?.isWaiting = false
            self?.advance()
        }
    }

    /// Sends a message, or keeps it until it can be sent.
    func send(_ message: [UInt8]) {
        queue.append(message)
        advance()
    }

    /// Gives the target up.
    func close() {
        isClosed = true
        drop()
        timer?.close(on: loop)
        timer = nil
    }

    override func ready(_ events: Readiness) {
        guard socket != nil else { return }
        if !events.isDisjoint(with: [.failed, .hangUp, .peerClosed]), target.transport != .udp { return fail() }
        if events.contains(.readable) { discardInput() }
        if events.contains(.writable), socket != nil {
            if !isConnected { connected() }
            advance()
        }
    }

    /// Servers have nothing to say; what they say is thrown away, except that they hang up.
    private func discardInput() {
        while let bytes = socket?.receive() {
            if bytes.isEmpty { return target.transport == .udp ? () : fail() }
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
        wait(for: rest.isEmpty && (queue.isEmpty || target.transport == .udp) ? .readable : [.readable, .writable])
    }

    /// - Returns: whether there may be more to do now.
    private func send() -> Bool {
        if rest.isEmpty {
            guard let message = queue.first else { return false }
            queue.removeFirst()
            rest = target.transport == .udp ? Array(message.prefix(Self.datagramMax)) : SyslogMessage.counted(message)
        }
        guard let result = socket?.send(rest.span) else { return false }
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
        drop()
        isWaiting = true
        timer?.set(after: retry)
        retry = min(retry * 2, Self.retryMax)
        if !isAway { report(false, "the log server \(target) cannot be reached: \(reason)") }
        isAway = true
    }

    /// The message that was cut off is lost: nobody knows how much of it came.
    private func drop() {
        if let raw = socket?.raw { loop.unwatch(raw) }
        socket = nil
        isConnected = false
        rest = []
    }
}
