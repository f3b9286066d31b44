import Linux
import NetEngine

/// Where one queue of the back end meets the two queues of a pair: tells them when packets wait or room has come.
final class NetPort: EventHandler, @unchecked Sendable {
    // @unchecked: `users` belongs to the loop's thread; the rest is immutable.

    let backend: any NetQueue
    private let loop: EventLoop?
    private let receive: NetReceiveQueue
    private let transmit: NetTransmitQueue
    private var users = 0

    private static let interest: Readiness = [.readable, .writable, .edgeTriggered]

    init(_ receive: NetReceiveQueue, _ transmit: NetTransmitQueue, backend: any NetQueue, loop: EventLoop?) {
        self.receive = receive
        self.transmit = transmit
        self.backend = backend
        self.loop = loop
        super.init()
    }

    /// One of the queues begins to need the back end.
    func attach() throws(SystemError) {
        if users == 0 { try loop?.watch(backend.descriptor, for: Self.interest, self) }
        users += 1
    }

    /// One of the queues does no longer.
    func detach() {
        guard users > 0 else { return }
        users -= 1
        if users == 0 { loop?.unwatch(backend.descriptor) }
    }

    /// A transfer would have blocked: tells when it would not. Sockets note who waits for room only while being asked.
    func waitForRoom() { try? loop?.rewatch(backend.descriptor, for: Self.interest) }

    override func ready(_ events: Readiness) {
        if !events.isDisjoint(with: [.readable, .hangUp, .failed]) { receive.packetsWait() }
        if !events.isDisjoint(with: [.writable, .failed]) { transmit.roomHasCome() }
    }
}
