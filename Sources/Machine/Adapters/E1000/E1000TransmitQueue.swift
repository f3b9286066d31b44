import GuestMemory
import Linux
import NetEngine

/// A transmit queue of a card. Belongs to the queues' thread.
@safe final class E1000TransmitQueue {
    enum Outcome {
        case idle
        /// There is more, but others have their turn first.
        case again
        /// The back end has no room.
        case blocked
    }

    private enum Step {
        /// Up to here a packet is whole.
        case packet(end: Int)
        /// A descriptor that only says how others are to be treated.
        case context(end: Int)
        case none
        /// Descriptors that make no packet, up to here.
        case bad(end: Int)
    }

    /// Fields of a descriptor's second 8 bytes (8254x manual, section 3.3.3 to 3.3.7).
    private enum Field {
        static let endOfPacket: UInt64 = 1 << 24
        static let insertsChecksum: UInt64 = 1 << 26  // legacy
        static let segments: UInt64 = 1 << 26  // extended
        static let reportsStatus: UInt64 = 1 << 27
        static let isExtended: UInt64 = 1 << 29
        static let insertsTag: UInt64 = 1 << 30
        static let isData: UInt64 = 1 << 20
        static let done: UInt64 = 1 << 32
        static let networkChecksum: UInt64 = 1 << 40
        static let transportChecksum: UInt64 = 1 << 41
        static let isTCP: UInt64 = 1 << 24  // context
    }

    /// What a context descriptor says.
    private struct Context: BitwiseCopyable {
        var network = TransmitFrame.NetworkChecksum(start: 0, end: 0, place: 0)
        var transportStart = 0
        var transportPlace = 0
        var segmentSize = 0
        var headers = 0
        var isTCP = false
    }

    private static let batchMax = 256
    private static let invalid: CInt = 22  // EINVAL

    let counters = NetCounters()
    private let index: Int
    private let ends: E1000Ends
    private let numbers: E1000Counters
    private let backend: any NetQueue
    private let offloads: NetOffloads
    private let frame: TransmitFrame
    // One for checksums, one for segmentation: the hardware keeps both (section 3.3.6).
    private var contexts = (Context(), Context())
    private var work = TransmitFrame.Work.none
    private var network: TransmitFrame.NetworkChecksum?
    private var tag: UInt16?
    /// A packet up to this descriptor is ready and waits for room at the back end.
    private var blockedEnd: Int?
    /// The tail as it was looked at last.
    private var tailSeen: UInt32 = 0

    init(
        _ index: Int, _ ends: E1000Ends, _ numbers: E1000Counters, ram: GuestRAM, backend: any NetQueue,
        offloads: NetOffloads
    ) {
        self.index = index
        self.ends = ends
        self.numbers = numbers
        self.backend = backend
        self.offloads = offloads
        frame = TransmitFrame(ram)
    }

    /// Forgets what is under way.
    func reset() {
        blockedEnd = nil
        contexts = (Context(), Context())
    }

    /// The rings are others now: what waits will be read again.
    func reconfigured() { blockedEnd = nil }

    /// Sends what the driver has put between head and tail, for a bounded time.
    ///
    /// - Parameter reported: set if the driver asked for a report of what was sent.
    func process(_ configuration: borrowing E1000Configuration, reported: inout Bool) -> Outcome {
        guard configuration.transmits, let ring = configuration.transmitRing(index) else {
            tailSeen = ends.transmitTail(index)
            return .idle
        }
        for _ in 0..<Self.batchMax {
            let head = Int(ends.transmitHead(index))
            tailSeen = ends.transmitTail(index)
            let tail = Int(tailSeen)
            guard head < ring.count, tail < ring.count else { return .idle }
            if let end = blockedEnd {
                guard send() else { return .blocked }
                blockedEnd = nil
                finish(ring, head, end, &reported)
                continue
            }
            switch next(ring, head, tail, configuration.insertsTags) {
            case .none: return .idle
            case .context(let end): finish(ring, head, end, &reported)
            case .bad(let end):
                counters.countError()
                finish(ring, head, end, &reported)
            case .packet(let end):
                if !configuration.isLinkUp {
                    counters.countDrop()
                } else if !frame.prepare(work, tag: tag, network: network, offloads: offloads) {
                    counters.countError()
                } else if !send() {
                    blockedEnd = end
                    return .blocked
                }
                finish(ring, head, end, &reported)
            }
        }
        return .again
    }

    /// Reads the next packet's descriptors.
    private func next(_ ring: E1000Ring, _ head: Int, _ tail: Int, _ insertsTags: Bool) -> Step {
        frame.begin()
        work = .none
        network = nil
        tag = nil
        var at = head
        var isFirst = true
        var isGood = true
        // Never more than the ring: each step comes nearer to the tail.
        while at != tail {
            let (address, word) = (ring.load(at, 0), ring.load(at, 1))
            at = at &+ 1 == ring.count ? 0 : at &+ 1
            let isExtended = word & Field.isExtended != 0
            if isExtended, word & 0xf0_0000 == 0 {
                setContext(address, word)
                if isFirst { return .context(end: at) }
                continue
            }
            let length = Int(word & (isExtended ? 0xf_ffff : 0xffff))
            // A descriptor without an address only carries a command (section 3.3.3.1).
            if length > 0, !frame.append(address, length) { isGood = false }
            if isExtended {
                if isFirst { setWork(word) }
            } else if word & Field.insertsChecksum != 0 {
                let (start, place) = (Int(word >> 40 & 0xff), Int(word >> 16 & 0xff))
                work = .checksum(start: start, place: place)
            }
            if insertsTags, word & Field.insertsTag != 0 { tag = UInt16(truncatingIfNeeded: word >> 48) }
            isFirst = false
            if word & Field.endOfPacket != 0 {
                if isGood, frame.byteCount == 0 { return .context(end: at) }
                return isGood ? .packet(end: at) : .bad(end: at)
            }
        }
        // A ring full of descriptors without an end will not get one.
        let used = tail >= head ? tail &- head : tail &- head &+ ring.count
        return used >= ring.count &- 1 && used > 0 && !isFirst ? .bad(end: at) : .none
    }

    /// Notes the wishes of a packet's first data descriptor.
    private func setWork(_ word: UInt64) {
        if word & Field.segments != 0 {
            let context = contexts.1
            // Segmentation of anything but TCP is refused when the frame is prepared: nothing else is cut.
            work = .segmentation(size: context.isTCP ? context.segmentSize : 0, headers: context.headers)
            return
        }
        let context = contexts.0
        if word & Field.transportChecksum != 0 {
            work = .checksum(start: context.transportStart, place: context.transportPlace)
        }
        if word & Field.networkChecksum != 0 { network = context.network }
    }

    private func setContext(_ first: UInt64, _ second: UInt64) {
        var context = Context()
        let end = Int(first >> 16 & 0xffff)
        context.network = .init(start: Int(first & 0xff), end: end &+ 1, place: Int(first >> 8 & 0xff))
        context.transportStart = Int(first >> 32 & 0xff)
        context.transportPlace = Int(first >> 40 & 0xff)
        context.isTCP = second & Field.isTCP != 0
        context.headers = Int(second >> 40 & 0xff)
        context.segmentSize = Int(second >> 48 & 0xffff)
        if second & Field.segments != 0 { contexts.1 = context } else { contexts.0 = context }
    }

    /// - Returns: false if there was no room.
    private func send() -> Bool {
        switch frame.send(to: backend) {
        case .done:
            counters.countPacket(bytes: frame.frameCount)
            numbers.countTransmitted(frame.destination, bytes: frame.frameCount, segments: frame.segmentCount)
        case .wouldBlock: return false
        // The kernel found the header at odds with the packet.
        case .failed(Self.invalid): counters.countError()
        // The interface is down, detached or short of memory: the packet is lost, as on a wire.
        case .failed: counters.countDrop()
        }
        return true
    }

    /// Gives descriptors back.
    private func finish(_ ring: E1000Ring, _ start: Int, _ end: Int, _ reported: inout Bool) {
        var at = start
        repeat {
            let word = ring.load(at, 1)
            if word & Field.reportsStatus != 0 {
                ring.storeLast(at, 1, word | Field.done)
                reported = true
            }
            at = at &+ 1 == ring.count ? 0 : at &+ 1
        } while at != end
        ends.setTransmitHead(index, UInt32(truncatingIfNeeded: end))
    }

    /// Whether the driver has moved the tail since it was looked at.
    var hasNews: Bool { ends.transmitTail(index) != tailSeen }

    /// Whether everything was sent.
    var isEmpty: Bool { ends.transmitHead(index) == ends.transmitTail(index) }
}
