import GuestMemory
import Linux
import NetEngine

/// A transmit queue of a vmxnet3 card. Belongs to its port's thread.
@safe final class VMXNET3TransmitQueue {
    /// What the driver set when it activated the card.
    struct Configuration: BitwiseCopyable {
        var ring: VMXNET3Ring
        var completions: VMXNET3Ring
        var interrupt: Int
    }

    /// What a snapshot would keep beside the configuration.
    struct Position: BitwiseCopyable {
        var ring = VMXNET3Cursor()
        var completions = VMXNET3Cursor()
    }

    enum Outcome: Equatable {
        /// The ring holds no more.
        case idle
        /// There is more, but others have their turn first.
        case again
        /// The back end has no room.
        case blocked
        /// The driver broke the ring; the error says how.
        case broken(UInt32)
    }

    private enum Step {
        case packet
        case none
        case broken(UInt32)
    }

    /// Fields of a descriptor's third and fourth word (`Vmxnet3_TxDesc`).
    private enum Field {
        static let generation: UInt32 = 1 << 14
        static let length: UInt32 = 0x3fff
        /// A length of zero.
        static let lengthMax = 1 << 14
        static let sizeShift: UInt32 = 18
        static let headers: UInt32 = 0x3ff
        static let modeShift: UInt32 = 10
        static let checksum: UInt32 = 2
        static let segmentation: UInt32 = 3
        static let endOfPacket: UInt32 = 1 << 12
        static let wantsCompletion: UInt32 = 1 << 13
        static let insertsTag: UInt32 = 1 << 15
        static let tagShift: UInt32 = 16
    }

    private static let batchMax = 256
    private static let invalid: CInt = 22  // EINVAL

    let index: Int
    let counters = NetCounters()
    private(set) var tally = VMXNET3Tally()
    private(set) var position = Position()
    private let configuration: Configuration
    private let backend: any NetQueue
    private let offloads: NetOffloads
    private let frame: TransmitFrame
    /// A packet was taken from the ring and waits for room at the back end.
    private var isBlocked = false
    private var first: (UInt32, UInt32) = (0, 0)
    private var last: (index: Int, wantsCompletion: Bool) = (0, false)
    private var isBroken = false
    var isLinkUp = true

    init(
        _ index: Int, _ configuration: Configuration, ram: GuestRAM, backend: any NetQueue, offloads: NetOffloads
    ) {
        self.index = index
        self.configuration = configuration
        self.backend = backend
        self.offloads = offloads
        frame = TransmitFrame(ram)
    }

    var interrupt: Int { configuration.interrupt }

    /// Sends what the ring holds, for a bounded time.
    ///
    /// - Parameter completed: set if the driver is to be interrupted.
    func process(completed: inout Bool) -> Outcome {
        if isBroken { return .idle }
        if isBlocked {
            if send() == false { return .blocked }
            isBlocked = false
            completed = finish() || completed
        }
        for _ in 0..<Self.batchMax {
            switch next() {
            case .none: return .idle
            case .broken(let error):
                isBroken = true
                return .broken(error)
            case .packet: break
            }
            if isLinkUp, prepare() {
                guard send() else {
                    isBlocked = true
                    return .blocked
                }
            }
            completed = finish() || completed
        }
        return .again
    }

    /// Takes the next packet's descriptors.
    private func next() -> Step {
        let ring = configuration.ring
        var cursor = position.ring
        frame.begin()
        for count in 0..<ring.size {
            let third = ring.loadFirst(cursor.index, word: 2)
            // The rest of a packet whose beginning is there comes with the next doorbell.
            guard (third & Field.generation != 0) == cursor.generation else { return .none }
            let fourth = ring.load(cursor.index, word: 3)
            let length = Int(third & Field.length)
            guard frame.append(ring.loadAddress(cursor.index), length == 0 ? Field.lengthMax : length) else {
                return .broken(VMXNET3.QueueError.invalidDescriptor)
            }
            if count == 0 { first = (third, fourth) }
            let index = cursor.index
            cursor.advance(in: ring.size)
            if fourth & Field.endOfPacket != 0 {
                last = (index, fourth & Field.wantsCompletion != 0)
                position.ring = cursor
                return .packet
            }
        }
        return .broken(VMXNET3.QueueError.noEndOfPacket)
    }

    /// Translates the first descriptor's wishes.
    private func prepare() -> Bool {
        let (third, fourth) = first
        let headers = Int(fourth & Field.headers)
        let size = Int(third >> Field.sizeShift)
        let work: TransmitFrame.Work
        switch fourth >> Field.modeShift & 3 {
        case Field.checksum: work = .checksum(start: headers, place: size)
        case Field.segmentation: work = .segmentation(size: size, headers: headers)
        default: work = .none
        }
        let tag = fourth & Field.insertsTag != 0 ? UInt16(truncatingIfNeeded: fourth >> Field.tagShift) : nil
        if frame.prepare(work, tag: tag, offloads: offloads) { return true }
        counters.countError()
        tally.errors &+= 1
        return false
    }

    /// - Returns: false if there was no room.
    private func send() -> Bool {
        switch frame.send(to: backend) {
        case .done:
            counters.countPacket(bytes: frame.frameCount)
            tally.count(frame.destination, bytes: frame.frameCount, isLarge: frame.segmentCount > 1)
        case .wouldBlock: return false
        // The kernel found the header at odds with the packet.
        case .failed(Self.invalid):
            counters.countError()
            tally.errors &+= 1
        // The interface is down, detached or short of memory: the packet is lost, as on a wire.
        case .failed:
            counters.countDrop()
            tally.discards &+= 1
        }
        return true
    }

    /// Gives the packet's descriptors back.
    ///
    /// - Returns: whether the driver asked to hear of it.
    private func finish() -> Bool {
        if !isLinkUp {
            counters.countDrop()
            tally.discards &+= 1
        }
        guard last.wantsCompletion else { return false }
        let generation: UInt32 = position.completions.generation ? 1 << 31 : 0
        configuration.completions.store(
            position.completions.index, UInt32(truncatingIfNeeded: last.index), 0, 0, last: generation)
        position.completions.advance(in: configuration.completions.size)
        return true
    }
}

/// A queue's counters as a driver reads them (`UPT1_TxStats`, `UPT1_RxStats`): ten numbers of 64 bits.
struct VMXNET3Tally: BitwiseCopyable {
    private var numbers = InlineArray<10, UInt64>(repeating: 0)

    /// Transmit: packets the adapter refused. Receive: packets lost for want of buffers.
    var errors: UInt64 {
        get { numbers[8] }
        set { numbers[8] = newValue }
    }
    /// Transmit: packets thrown away. Receive: packets with errors.
    var discards: UInt64 {
        get { numbers[9] }
        set { numbers[9] = newValue }
    }

    mutating func count(_ destination: FrameDestination, bytes: Int, isLarge: Bool) {
        if isLarge { add(0, bytes) }
        switch destination {
        case .unicast: add(2, bytes)
        case .multicast: add(4, bytes)
        case .broadcast: add(6, bytes)
        }
    }

    private mutating func add(_ index: Int, _ bytes: Int) {
        numbers[index] &+= 1
        numbers[index &+ 1] &+= UInt64(truncatingIfNeeded: bytes)
    }

    func store(_ ram: GuestRAM, at address: GuestAddress) {
        for index in 0..<10 { ram.store(numbers[index], at: address &+ UInt64(truncatingIfNeeded: 8 * index)) }
    }
}
