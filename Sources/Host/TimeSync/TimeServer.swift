import Linux

/// One server as the time agent asks it.
final class TimeServer: EventHandler, @unchecked Sendable {
    // @unchecked: belongs to the loop's thread.

    static let port: UInt16 = 123

    /// As the settings name it.
    let name: String
    private(set) var state: NTPServerState
    private(set) var address: InternetPeer?
    private let loop: EventLoop
    private let answered: (TimeServer) -> Void
    private var socket: ConnectedSocket?
    private var sent = NTPTimestamp(bits: 0)
    private(set) var lastRefusal: NTPSample.Refusal?

    /// - Parameter answered: called after a good answer.
    init(_ name: String, on loop: EventLoop, now: UInt64, answered: @escaping (TimeServer) -> Void) {
        self.name = name
        self.loop = loop
        self.answered = answered
        state = NTPServerState(now: now)
        super.init()
    }

    /// Asks, if it is time to and an address is known.
    ///
    /// - Parameter resolve: gives an address for a name, if one is known.
    func advance(now: UInt64, resolve: (String) -> InternetPeer?) {
        guard state.due <= now else { return }
        drop()
        address = resolve(name)
        guard let address else { return state.postpone(now: now) }
        let random = (try? Random.bytes(16)) ?? []
        let numbers = stride(from: 0, to: random.count, by: 8).map { start in
            random[start..<start + 8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        }
        guard numbers.count == 2 else { return }
        do throws(SystemError) {
            // A socket and a port of its own for each question: late answers to earlier ones do not even arrive.
            let socket = try ConnectedSocket(.datagram, to: address)
            try socket.wantTimestamps()
            state.asked(nonce: max(numbers[0], 1), now: now, jitter: numbers[1])
            try loop.watch(socket.raw, for: .readable, self)
            let clock = wallClock()
            sent = NTPTimestamp(seconds: clock.seconds, nanoseconds: clock.nanoseconds)
            _ = socket.send(NTPPacket.request(nonce: state.nonce).bytes.span)
            self.socket = consume socket
        } catch {
            // No way there: the network comes up, or is gone.
            state.postpone(now: now)
        }
    }

    override func ready(_ events: Readiness) {
        while let (bytes, seconds, nanoseconds) = socket?.receiveStamped(limit: 512) {
            if bytes.isEmpty { return drop() }
            let now = monotonicNanoseconds()
            let clock = seconds == 0 ? wallClock() : (seconds, nanoseconds)
            do throws(NTPSample.Refusal) {
                let sample = try NTPSample(
                    bytes, nonce: state.nonce, sent: sent,
                    received: NTPTimestamp(seconds: clock.0, nanoseconds: clock.1), time: now)
                lastRefusal = nil
                state.answered(sample)
                drop()
                return answered(self)
            } catch {
                lastRefusal = error
                if error == .kissOfDeath {
                    state.refused(now: now)
                    return drop()
                }
            }
        }
    }

    func forget(now: UInt64) { state.forget(now: now) }
    func adapt(isCalm: Bool) { state.adapt(isCalm: isCalm) }

    private func drop() {
        if let raw = socket?.raw { loop.unwatch(raw) }
        socket = nil
    }

    func close() { drop() }
}
