import GuestMemory
import Linux
import NetEngine
import Synchronization

/// A receive queue of a vmxnet3 card. Belongs to its port's thread.
@safe final class VMXNET3ReceiveQueue {
    /// What the driver set when it activated the card.
    struct Configuration: BitwiseCopyable {
        var rings: (VMXNET3Ring, VMXNET3Ring?)
        var completions: VMXNET3Ring
        var interrupt: Int
        /// Where the driver looks whether to ring the doorbell after it has refilled a ring.
        var updateProducer: GuestAddress
        /// How completions name the first and the second ring.
        var ringIdentifiers: (UInt32, UInt32)
        /// Buffers a packet may take.
        var scatterMax: Int
    }

    /// What the driver may change while the queue runs.
    struct Mode: BitwiseCopyable {
        var filter: VMXNET3Filter
        var stripsTags = false
        var verifiesChecksums = false
        /// Bytes of the longest frame to expect.
        var frameMax = 1518
    }

    enum Outcome: Equatable {
        /// The back end has no more.
        case idle
        /// There may be more, but others have their turn first.
        case again
        /// The driver offers too few buffers.
        case starved
        /// The driver broke the ring; the error says how.
        case broken(UInt32)
    }

    private enum Step {
        case packet
        case noPacket
        case noBuffers
    }

    /// Fields of a completion (`Vmxnet3_RxCompDesc`).
    private enum Field {
        static let endOfPacket: UInt32 = 1 << 14
        static let startOfPacket: UInt32 = 1 << 15
        static let ringShift: UInt32 = 16
        static let noChecksum: UInt32 = 1 << 30
        static let tagStripped: UInt32 = 1 << 15
        static let tagShift: UInt32 = 16
        static let transportGood: UInt32 = 1 << 16
        static let udp: UInt32 = 1 << 17
        static let tcp: UInt32 = 1 << 18
        static let networkGood: UInt32 = 1 << 19
        static let ipv6: UInt32 = 1 << 20
        static let ipv4: UInt32 = 1 << 21
        static let fragment: UInt32 = 1 << 22
        static let checkSequenceGood: UInt32 = 1 << 23
        static let type: UInt32 = 3 << 24
        static let generation: UInt32 = 1 << 31
    }

    private static let batchMax = 256

    let counters = NetCounters()
    private(set) var tally = VMXNET3Tally()
    private(set) var completionPosition = VMXNET3Cursor()
    private let configuration: Configuration
    private let ram: GuestRAM
    private let backend: any NetQueue
    private let frame: ReceiveFrame
    private let first: VMXNET3ReceiveBuffers
    private let second: VMXNET3ReceiveBuffers?
    /// Which ring each of the frame's buffers is from, and where there; lengths too.
    private let sources: UnsafeMutablePointer<(isSecond: Bool, index: Int, count: Int)>
    private var sourceCount = 0
    /// The most bytes of buffers that were ever found for one packet: less than that and less than a frame needs means
    /// that the driver is behind.
    private var capacityMax = 0
    private var asksForDoorbell = false
    private(set) var isStarved = false
    var mode: Mode
    var isLinkUp = true

    init(_ configuration: Configuration, _ mode: Mode, ram: GuestRAM, backend: any NetQueue) {
        self.configuration = configuration
        self.mode = mode
        self.ram = ram
        self.backend = backend
        frame = ReceiveFrame(ram)
        first = VMXNET3ReceiveBuffers(configuration.rings.0, ram)
        second = configuration.rings.1.map { VMXNET3ReceiveBuffers($0, ram) }
        unsafe sources = .allocate(capacity: ReceiveFrame.piecesMax)
    }

    deinit { unsafe sources.deallocate() }

    var interrupt: Int { configuration.interrupt }
    /// Where the driver describes the queue.
    var descriptor: GuestAddress { configuration.updateProducer &- VMXNET3.Queue.updateProducer }

    /// Receives what the back end has, for a bounded time.
    ///
    /// - Parameter received: set if the driver is to be interrupted.
    func process(received: inout Bool) -> Outcome {
        isStarved = false
        for _ in 0..<Self.batchMax {
            switch receive(&received) {
            case .packet: break
            case .noPacket:
                askForDoorbell(false)
                return .idle
            case .noBuffers:
                if first.isBroken || second?.isBroken == true {
                    return .broken(VMXNET3.QueueError.smallBuffer)
                }
                // The driver must see the wish before we look a last time, or it could refill without a word.
                if askForDoorbell(true) { continue }
                isStarved = true
                return .starved
            }
        }
        return .again
    }

    /// - Returns: whether that was new to the driver.
    @discardableResult
    private func askForDoorbell(_ on: Bool) -> Bool {
        if asksForDoorbell == on { return false }
        asksForDoorbell = on
        ram.store(on ? 1 : 0 as UInt8, at: configuration.updateProducer)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        return true
    }

    private func receive(_ received: inout Bool) -> Step {
        gatherBuffers()
        capacityMax = max(capacityMax, frame.capacity)
        if frame.capacity == 0 || frame.capacity < min(mode.frameMax, capacityMax) { return .noBuffers }
        guard case .done(let count) = frame.receive(from: backend) else { return .noPacket }
        guard count >= NetHeader.size + Frame.headerLength else {
            counters.countError()
            tally.discards &+= 1
            return .packet
        }
        let (head, headCount) = frame.filteredHead
        guard isLinkUp, mode.filter.accepts(head, count: headCount) else {
            // The next packet overwrites it.
            counters.countDrop()
            return .packet
        }
        guard frame.frameCount <= frame.capacity else {
            counters.countDrop()
            tally.errors &+= 1
            return .packet
        }
        deliver()
        received = true
        return .packet
    }

    /// Finds buffers for the next packet: one for its head from the first ring, then those for bodies that follow there,
    /// or in the second ring.
    private func gatherBuffers() {
        frame.begin()
        sourceCount = 0
        var firstCount = 0
        var secondCount = 0
        while frame.capacity < mode.frameMax, sourceCount < configuration.scatterMax {
            if let buffer = unsafe first.peek(firstCount), unsafe buffer.isBody == (sourceCount > 0) {
                unsafe take(buffer, isSecond: false, first.index(firstCount))
                firstCount &+= 1
            } else if sourceCount == 0 {
                guard unsafe first.peek(0) != nil else { return }
                // A body without a head before it is of no use.
                first.consume(1)
            } else if let second, let buffer = unsafe second.peek(secondCount) {
                unsafe take(buffer, isSecond: true, second.index(secondCount))
                secondCount &+= 1
            } else {
                return
            }
        }
    }

    @unsafe @inline(__always)
    private func take(_ buffer: VMXNET3ReceiveBuffers.Buffer, isSecond: Bool, _ index: Int) {
        unsafe frame.append(buffer.address, buffer.base, buffer.count)
        unsafe sources[sourceCount] = unsafe (isSecond: isSecond, index: index, count: buffer.count)
        sourceCount &+= 1
    }

    /// Completes the buffers that the frame lies in.
    private func deliver() {
        // Before the tag goes, and before the sum is filled in, what the back end said of the frame still holds.
        let isLarge = frame.isLarge
        frame.completeChecksum()
        let tag = mode.stripsTags ? frame.removeTag() : nil
        frame.pad()
        frame.markWritten()
        let count = frame.frameCount
        let flags = mode.verifiesChecksums ? checksumFlags() : 0
        var left = count
        var used = (first: 0, second: 0)
        for index in 0..<sourceCount where left > 0 {
            let source = unsafe sources[index]
            let length = min(left, source.count)
            left &-= length
            var word = UInt32(truncatingIfNeeded: source.index)
            let ring = source.isSecond ? configuration.ringIdentifiers.1 : configuration.ringIdentifiers.0
            word |= ring << Field.ringShift
            if flags == 0 { word |= Field.noChecksum }
            if index == 0 { word |= Field.startOfPacket }
            if left == 0 { word |= Field.endOfPacket }
            var third = UInt32(truncatingIfNeeded: length)
            if let tag { third |= Field.tagStripped | UInt32(tag) << Field.tagShift }
            let generation = completionPosition.generation ? Field.generation : 0
            configuration.completions.store(
                completionPosition.index, word, 0, third,
                last: flags | Field.checkSequenceGood | Field.type | generation)
            completionPosition.advance(in: configuration.completions.size)
            if source.isSecond { used.second &+= 1 } else { used.first &+= 1 }
        }
        first.consume(used.first)
        second?.consume(used.second)
        counters.countPacket(bytes: count)
        tally.count(frame.destination, bytes: count, isLarge: isLarge)
    }

    /// What the driver need not check itself; zero if it must check all.
    private func checksumFlags() -> UInt32 {
        guard frame.hasGoodTransportChecksum else { return 0 }
        let headers = frame.headers
        guard headers.transport != .other else { return 0 }
        var flags = Field.transportGood | (headers.transport == .tcp ? Field.tcp : Field.udp)
        switch headers.network {
        case .ipv4:
            flags |= Field.ipv4
            if headers.hasGoodNetworkChecksum { flags |= Field.networkGood }
        case .ipv6: flags |= Field.ipv6
        case .other: return 0
        }
        return flags
    }
}
