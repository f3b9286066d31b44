import Linux

/// The clients of a server, its doors and when to look at the screen. On its loop's thread only.
final class RFBHub: @unchecked Sendable {
    // @unchecked: touched on the loop's thread only.

    /// One more takes the place of one who is not through the handshake, or is refused.
    static let clientsMax = 16
    /// Between two looks at the screen, in nanoseconds: after a change, and when nothing has changed for long.
    private static let intervals: ClosedRange<UInt64> = 30_000_000...120_000_000
    /// Wrong passwords in a row after which nobody is let in for a while, and for how long, in nanoseconds.
    private static let failuresMax = 5
    private static let pause: UInt64 = 10_000_000_000

    private let screen: any Screen
    let name: String
    let input: any InputSink
    let loop: EventLoop
    var password: String?
    private var doors: [RFBDoor] = []
    private var clients: [RFBClient] = []
    private var timer: Timer?
    private var interval = intervals.lowerBound
    private var isTimerSet = false
    private var lastLook: UInt64 = 0
    private var failures = 0
    private var refusesUntil: UInt64 = 0

    init(_ screen: any Screen, name: String, input: any InputSink, loop: EventLoop) {
        self.screen = screen
        self.name = name
        self.input = input
        self.loop = loop
    }

    func start() throws(SystemError) {
        timer = try Timer(on: loop) { [weak self] in
            self?.isTimerSet = false
            self?.tick()
        }
    }

    func open(_ door: RFBDoor) throws(SystemError) {
        try loop.watch(door.raw, for: .readable, door)
        doors.append(door)
    }

    func close() {
        for client in clients { client.close() }
        clients = []
        for door in doors {
            loop.unwatch(door.raw)
            if let path = door.path { removeFile(path) }
        }
        doors = []
        timer?.close(on: loop)
        timer = nil
    }

    var clientCount: Int { clients.count }

    // MARK: Clients

    func attach(_ connection: consuming Descriptor) {
        guard timer != nil, monotonicNanoseconds() >= refusesUntil else { return }
        if clients.count >= Self.clientsMax {
            guard let idle = clients.first(where: { !$0.isRunning }) else { return }
            drop(idle)
        }
        guard let security = security() else { return }
        lookIfDue()
        let session = RFBSession(
            name: name, security: security, width: screen.surface.width, height: screen.surface.height)
        let client = RFBClient(connection, session, self)
        do {
            try client.start()
            clients.append(client)
        } catch {}
    }

    private func security() -> RFBSession.Security? {
        guard let password else { return RFBSession.Security.none }
        guard let challenge = try? Random.bytes(VNCPassword.challengeSize),
            let expected = VNCPassword.response(to: challenge, password: password)
        else { return nil }
        return .password(challenge: challenge, expected: expected)
    }

    func drop(_ client: RFBClient) {
        client.close()
        clients.removeAll { $0 === client }
    }

    func joined(_ client: RFBClient, isShared: Bool) {
        failures = 0
        if !isShared { for other in clients where other !== client && other.isRunning { drop(other) } }
    }

    /// Somebody tried a wrong password.
    func failed() {
        failures += 1
        guard failures >= Self.failuresMax else { return }
        failures = 0
        refusesUntil = monotonicNanoseconds() + Self.pause
    }

    // MARK: Looking

    var surface: Surface { screen.surface }

    /// A client is about to get an update: makes sure that the picture is of now.
    func lookIfDue() {
        if monotonicNanoseconds() &- lastLook >= Self.intervals.lowerBound { _ = look() }
    }

    /// A client waits for a change: looks again soon.
    func isWaited() {
        if !isTimerSet { arm(after: Self.intervals.lowerBound) }
    }

    private func arm(after nanoseconds: UInt64) {
        isTimerSet = true
        timer?.set(after: nanoseconds)
    }

    private func tick() {
        let isChanged = look()
        for client in clients { client.flush() }
        // Each look without a change makes the next one later.
        interval = isChanged ? Self.intervals.lowerBound : min(interval * 5 / 4, Self.intervals.upperBound)
        if clients.contains(where: \.isWaiting) { arm(after: interval) }
    }

    /// Draws what has changed and notes it for every client.
    ///
    /// - Returns: whether anything has.
    @discardableResult
    func look() -> Bool {
        lastLook = monotonicNanoseconds()
        let change = screen.update(now: lastLook)
        guard !change.isEmpty else { return false }
        for client in clients { client.screenChanged(change, screen.surface) }
        return true
    }
}
