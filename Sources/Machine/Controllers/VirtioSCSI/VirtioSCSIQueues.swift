import GuestMemory
import Linux
import Virtio

/// A queue of requests. Belongs to the host's loop, as all of them do.
final class VirtioSCSIRequestQueue: VirtioQueue, @unchecked Sendable {
    // @unchecked: as for VirtioQueue.

    /// Set once before the guest runs.
    unowned(unsafe) var engine: VirtioSCSIEngine?
    /// Requests were given back, and the driver does not see it yet.
    var needsPublish = false

    override func started() { unsafe engine?.started(self) }
    override func stopped() { unsafe engine?.stopped(self) }
    override func process() { unsafe engine?.serve() }
}

/// Task management and what drivers want to be told of.
final class VirtioSCSIControlQueue: SerialQueue, @unchecked Sendable {
    // @unchecked: as for SerialQueue.

    /// Set once before the guest runs.
    unowned(unsafe) var engine: VirtioSCSIEngine?

    /// Answers a request: type u32 at 0. Task management: kind u32 at 4, address of 8 bytes, tag u64 at 16, and a byte for the
    /// answer. Asynchronous notification: events u32 at 12, and back events u32 and the byte.
    override func answer(_ chain: inout DescriptorChain) -> UInt32? {
        guard let type = chain.load(UInt32.self) else {
            breakDown()
            return 0
        }
        guard type == 0 else {
            // No events of units are told so.
            let isKnown = type == 1 || type == 2
            guard chain.store(UInt32(0)),
                chain.store(isKnown ? VirtioSCSIResponse.done : VirtioSCSIResponse.failure, at: 4)
            else { return 0 }
            return 5
        }
        guard let kind = chain.load(UInt32.self, at: 4), let address = chain.load(UInt64.self, at: 8),
            let tag = chain.load(UInt64.self, at: 16)
        else { return chain.store(VirtioSCSIResponse.failure) ? 1 : 0 }
        let response = unsafe engine?.manageTask(kind, VirtioSCSIAddress(address), tag: tag)
        return chain.store(response ?? VirtioSCSIResponse.failure) ? 1 : 0
    }
}

/// Buffers in which the driver is told of events.
final class VirtioSCSIEventQueue: VirtioQueue, @unchecked Sendable {
    // @unchecked: as for VirtioQueue.

    private static let pendingMax = 16
    private var chain: DescriptorChain
    private var pending: [VirtioSCSIEvent] = []
    private var hasMissed = false

    override init(index: Int, sizeMax: UInt16, ram: GuestRAM, loop: EventLoop?) throws(SystemError) {
        chain = DescriptorChain(ram, capacity: 4)
        try super.init(index: index, sizeMax: sizeMax, ram: ram, loop: loop)
    }

    func tell(_ event: VirtioSCSIEvent) {
        if pending.count < Self.pendingMax { pending.append(event) } else { hasMissed = true }
        process()
    }

    /// Nobody wants to know any more.
    func forget() {
        pending = []
        hasMissed = false
    }

    override func process() {
        guard isRunning else { return }
        while let event = pending.first, next(into: &chain) {
            pending.removeFirst()
            let word = event.event | (hasMissed ? VirtioSCSIEvent.missed : 0)
            hasMissed = false
            let address = UInt64(1) | UInt64(event.target) << 8 | 0x40 << 16
            let isWhole =
                chain.store(word) && chain.store(address, at: 4) && chain.store(event.reason, at: 12)
            ring.push(chain, written: isWhole ? UInt32(VirtioSCSIEvent.size) : 0)
        }
        publish()
    }
}
