import Synchronization

/// The counters that a driver reads from registers. The queues' thread counts; readers remember what they have read.
@safe final class E1000Counters: Sendable {
    /// Registers from 0x4000 on, each by its number there.
    enum Number {
        static let missed = 0x10 / 4
        static let receivedSizes = 0x5c / 4
        static let received = 0x74 / 4
        static let receivedBroadcast = 0x78 / 4
        static let receivedMulticast = 0x7c / 4
        static let transmitted = 0x80 / 4
        static let receivedBytes = 0x88 / 4
        static let transmittedBytes = 0x90 / 4
        static let noBuffer = 0xa0 / 4
        static let allReceivedBytes = 0xc0 / 4
        static let allTransmittedBytes = 0xc8 / 4
        static let allReceived = 0xd0 / 4
        static let allTransmitted = 0xd4 / 4
        static let transmittedSizes = 0xd8 / 4
        static let transmittedMulticast = 0xf0 / 4
        static let transmittedBroadcast = 0xf4 / 4
        static let segmented = 0xf8 / 4
    }

    static let count = 64
    // @safe: the memory is this object's alone, and indices are checked.
    nonisolated(unsafe) private let numbers: UnsafeMutablePointer<Atomic<UInt64>>

    init() {
        unsafe numbers = .allocate(capacity: Self.count)
        for index in 0..<Self.count { unsafe (numbers + index).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe numbers.deinitialize(count: Self.count)
        unsafe numbers.deallocate()
    }

    func value(_ number: Int) -> UInt64 {
        number >= 0 && number < Self.count ? unsafe numbers[number].load(ordering: .relaxed) : 0
    }

    @inline(__always)
    func add(_ number: Int, _ step: UInt64 = 1) {
        guard number >= 0, number < Self.count else { return }
        // One thread counts, so that a plain load and store suffice.
        let sum = unsafe numbers[number].load(ordering: .relaxed) &+ step
        unsafe numbers[number].store(sum, ordering: .relaxed)
    }

    func countReceived(_ destination: FrameDestination, bytes: Int) {
        // Registers count the check sequence too.
        let length = UInt64(truncatingIfNeeded: bytes &+ 4)
        add(Number.received)
        add(Number.allReceived)
        add(Number.receivedBytes, length)
        add(Number.allReceivedBytes, length)
        add(Number.receivedSizes &+ Self.size(length))
        switch destination {
        case .unicast: break
        case .multicast: add(Number.receivedMulticast)
        case .broadcast: add(Number.receivedBroadcast)
        }
    }

    func countTransmitted(_ destination: FrameDestination, bytes: Int, segments: Int) {
        let length = UInt64(truncatingIfNeeded: bytes &+ 4 &* segments)
        let count = UInt64(truncatingIfNeeded: segments)
        add(Number.transmitted, count)
        add(Number.allTransmitted, count)
        add(Number.transmittedBytes, length)
        add(Number.allTransmittedBytes, length)
        add(Number.transmittedSizes &+ Self.size(length), count)
        if segments > 1 { add(Number.segmented) }
        switch destination {
        case .unicast: break
        case .multicast: add(Number.transmittedMulticast, count)
        case .broadcast: add(Number.transmittedBroadcast, count)
        }
    }

    /// Which of the six counters by size: 64, to 127, 255, 511, 1023, beyond.
    private static func size(_ length: UInt64) -> Int {
        switch length {
        case ...64: 0
        case ...127: 1
        case ...255: 2
        case ...511: 3
        case ...1023: 4
        default: 5
        }
    }
}

/// What a driver has read of the counters, which count from there for it: each is zero after it was read.
struct E1000StatisticsReader: Sendable {
    private var read = [UInt64](repeating: 0, count: E1000Counters.count)

    /// Low words of the numbers of 64 bits; the word behind each holds the high half, and reading that clears both.
    private static func isWide(_ number: Int) -> Bool {
        number == E1000Counters.Number.receivedBytes || number == E1000Counters.Number.transmittedBytes
            || number == E1000Counters.Number.allReceivedBytes || number == E1000Counters.Number.allTransmittedBytes
    }

    mutating func take(_ number: Int, _ counters: E1000Counters) -> UInt32 {
        guard number >= 0, number < E1000Counters.count else { return 0 }
        if Self.isWide(number) { return UInt32(truncatingIfNeeded: counters.value(number) &- read[number]) }
        if number > 0, Self.isWide(number - 1) {
            let value = counters.value(number - 1)
            defer { read[number - 1] = value }
            return UInt32(truncatingIfNeeded: (value &- read[number - 1]) >> 32)
        }
        let value = counters.value(number)
        defer { read[number] = value }
        // A counter that is full stays so (8254x manual, section 13.7).
        return UInt32(clamping: value &- read[number])
    }

    /// A reset clears all.
    mutating func clear(_ counters: E1000Counters) {
        for number in read.indices { read[number] = counters.value(number) }
    }
}
