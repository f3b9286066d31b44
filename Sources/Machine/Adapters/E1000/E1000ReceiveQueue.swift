import GuestMemory
import Linux
import NetEngine
import Synchronization

/// The receive queue of a card. Belongs to the queues' thread.
@safe final class E1000ReceiveQueue {
    enum Outcome {
        /// The back end has no more.
        case idle
        /// There may be more, but others have their turn first.
        case again
        /// The driver offers too few buffers.
        case starved
    }

    private enum Step {
        case packet, noPacket, noBuffers
    }

    /// Status bits of a descriptor that is written back (8254x manual, section 3.2.3; 82574, section 7.1.5).
    private enum Status {
        static let done: UInt64 = 1 << 0
        static let endOfPacket: UInt64 = 1 << 1
        static let ignoreChecksum: UInt64 = 1 << 2
        static let tagged: UInt64 = 1 << 3
        static let udpChecked: UInt64 = 1 << 4
        static let transportChecked: UInt64 = 1 << 5
        static let networkChecked: UInt64 = 1 << 6
    }

    private static let batchMax = 256
    /// The check sequence, which the driver expects behind the frame unless it had it stripped.
    private static let checkSequence = 4

    let counters = NetCounters()
    private let ends: E1000Ends
    private let numbers: E1000Counters
    private let ram: GuestRAM
    private let backend: any NetQueue
    private let frame: ReceiveFrame
    private var filter = E1000Filter()
    /// Where the back end's packet goes if a buffer is no guest memory.
    private var isBadBuffer = false
    private var descriptorCount = 0

    init(_ ends: E1000Ends, _ numbers: E1000Counters, ram: GuestRAM, backend: any NetQueue) {
        self.ends = ends
        self.numbers = numbers
        self.ram = ram
        self.backend = backend
        frame = ReceiveFrame(ram)
    }

    func setFilter(_ filter: E1000Filter) { self.filter = filter }

    /// Receives what the back end has, for a bounded time.
    ///
    /// - Parameters:
    ///   - received: set if something was put into the driver's buffers.
    ///   - isLow: set if the driver should refill the ring.
    func process(_ configuration: borrowing E1000Configuration, received: inout Bool, isLow: inout Bool) -> Outcome {
        guard configuration.receives, let ring = configuration.receiveRing else { return .idle }
        let batch = Self.batchMax
        for _ in 0..<batch {
            switch receive(configuration, ring, &received) {
            case .packet: if free(ring) <= ring.count >> Int(configuration.lowShift) { isLow = true }
            case .noPacket: return .idle
            case .noBuffers:
                if ends.isStarved.load(ordering: .relaxed) { return .starved }
                // The driver looks at this after it has moved the tail; look at the tail again after setting it.
                ends.isStarved.store(true, ordering: .sequentiallyConsistent)
            }
        }
        return .again
    }

    /// Descriptors the driver has offered.
    private func free(_ ring: E1000Ring) -> Int {
        let head = Int(ends.receiveHead.load(ordering: .relaxed))
        let tail = Int(ends.receiveTail.load(ordering: .sequentiallyConsistent))
        guard head < ring.count, tail < ring.count else { return 0 }
        return tail >= head ? tail &- head : tail &- head &+ ring.count
    }

    private func receive(
        _ configuration: borrowing E1000Configuration, _ ring: E1000Ring, _ received: inout Bool
    ) -> Step {
        let extra = configuration.stripsCheckSequence ? 0 : Self.checkSequence
        let wanted = configuration.frameMax &+ extra
        guard gatherBuffers(configuration, ring, wanted) else {
            return isBadBuffer ? dropBadBuffer(ring) : .noBuffers
        }
        ends.isStarved.store(false, ordering: .relaxed)
        guard case .done(let count) = frame.receive(from: backend) else { return .noPacket }
        guard count >= NetHeader.size + Frame.headerLength else {
            counters.countError()
            return .packet
        }
        let (head, headCount) = frame.filteredHead
        guard configuration.isLinkUp, filter.accepts(head, count: headCount) else {
            // The next packet overwrites it.
            counters.countDrop()
            return .packet
        }
        guard frame.frameCount &+ extra <= min(frame.capacity, wanted) else {
            counters.countDrop()
            numbers.add(E1000Counters.Number.missed)
            return .packet
        }
        deliver(configuration, ring, extra)
        received = true
        return .packet
    }

    /// Finds buffers for the longest frame.
    ///
    /// - Returns: false if there are too few, or one of them is no guest memory.
    private func gatherBuffers(_ configuration: borrowing E1000Configuration, _ ring: E1000Ring, _ wanted: Int) -> Bool
    {
        frame.begin()
        isBadBuffer = false
        descriptorCount = 0
        let free = free(ring)
        var at = Int(ends.receiveHead.load(ordering: .relaxed))
        while frame.capacity < wanted, !frame.isFull {
            // A ring that is as full as it gets is all there will be.
            guard descriptorCount < free else { return free > 0 && free == ring.count &- 1 && frame.capacity > 0 }
            for index in 0..<4 where configuration.bufferSizes[index] > 0 {
                let size = configuration.bufferSizes[index]
                let address = ring.load(at, index)
                // A split descriptor may lack its last buffers.
                if index > 0, address & 1 != 0 { continue }
                guard let base = unsafe ram.pointer(at: address, count: size) else {
                    isBadBuffer = true
                    return false
                }
                unsafe frame.append(address, base, size)
            }
            descriptorCount &+= 1
            at = at &+ 1 == ring.count ? 0 : at &+ 1
        }
        return true
    }

    /// Gives a descriptor back whose buffer is no guest memory, as an error would be.
    private func dropBadBuffer(_ ring: E1000Ring) -> Step {
        counters.countError()
        let at = Int(ends.receiveHead.load(ordering: .relaxed))
        guard at < ring.count else { return .noPacket }
        advance(to: at &+ 1 == ring.count ? 0 : at &+ 1)
        return .packet
    }

    private func advance(to head: Int) {
        ends.receiveHead.store(UInt32(truncatingIfNeeded: head), ordering: .releasing)
    }

    /// Writes back the descriptors whose buffers the frame lies in.
    private func deliver(_ configuration: borrowing E1000Configuration, _ ring: E1000Ring, _ extra: Int) {
        if configuration.verifiesTransport { frame.completeChecksum() }
        let tag = configuration.stripsTags ? frame.removeTag() : nil
        frame.pad()
        frame.markWritten()
        let count = frame.frameCount
        let bits = status(configuration, isTagged: tag != nil)
        var left = count &+ extra
        var at = Int(ends.receiveHead.load(ordering: .relaxed))
        for _ in 0..<descriptorCount where left > 0 {
            var lengths = InlineArray<4, UInt64>(repeating: 0)
            for index in 0..<4 where configuration.bufferSizes[index] > 0 && left > 0 {
                if index > 0, ring.load(at, index) & 1 != 0 { continue }
                let length = min(left, configuration.bufferSizes[index])
                lengths[index] = UInt64(truncatingIfNeeded: length)
                left &-= length
            }
            let isLast = left <= 0
            // Only the last descriptor tells of the whole packet.
            let word = Status.done | (isLast ? bits | Status.endOfPacket : 0)
            write(configuration.receiveFormat, ring, at, lengths, word, isLast ? tag ?? 0 : 0)
            at = at &+ 1 == ring.count ? 0 : at &+ 1
        }
        advance(to: at)
        counters.countPacket(bytes: count)
        numbers.countReceived(frame.destination, bytes: count)
    }

    private func write(
        _ format: E1000Configuration.ReceiveFormat, _ ring: E1000Ring, _ at: Int, _ lengths: InlineArray<4, UInt64>,
        _ status: UInt64, _ tag: UInt16
    ) {
        switch format {
        case .legacy:
            ring.storeLast(at, 1, lengths[0] | status << 32 | UInt64(tag) << 48)
        case .extended:
            ring.store(at, 0, 0)
            ring.storeLast(at, 1, status & ~Status.ignoreChecksum | lengths[0] << 32 | UInt64(tag) << 48)
        case .packetSplit:
            ring.store(at, 0, 0)
            ring.store(at, 2, lengths[1] << 16 | lengths[2] << 32 | lengths[3] << 48)
            ring.store(at, 3, 0)
            ring.storeLast(at, 1, status & ~Status.ignoreChecksum | lengths[0] << 32 | UInt64(tag) << 48)
        }
    }

    private func status(_ configuration: borrowing E1000Configuration, isTagged: Bool) -> UInt64 {
        let bits = isTagged ? Status.tagged : 0
        guard configuration.verifiesTransport, frame.hasGoodTransportChecksum else {
            return bits | Status.ignoreChecksum
        }
        let headers = frame.headers
        guard headers.transport != .other else { return bits | Status.ignoreChecksum }
        var good = bits | Status.transportChecked
        if headers.transport == .udp, configuration.receiveFormat != .legacy { good |= Status.udpChecked }
        if headers.network == .ipv4 {
            // A header that does not add up is the driver's to find.
            guard headers.hasGoodNetworkChecksum else { return bits | Status.ignoreChecksum }
            good |= Status.networkChecked
        }
        return good
    }
}
