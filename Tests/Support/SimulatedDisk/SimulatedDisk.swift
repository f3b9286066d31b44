public import BlockStore
public import Linux

/// A disk in memory that remembers every write and flush, so that a power cut can be tried after each.
public final class SimulatedDisk: BlockStore {
    public static let sectorSize = 512

    public let size: UInt64
    public let blockSize = SimulatedDisk.sectorSize
    public let name = "the simulated disk"

    /// What it held in the beginning; never changed, so that many disks can share it. Sectors in `initial` stand for those in it.
    private let base: [UInt8]
    private let initial: [Int: [UInt8]]
    /// What is not as in `base`, by sector.
    private var written: [Int: [UInt8]]

    /// One thing that happened, sector by sector.
    enum Event {
        case write(sector: Int, bytes: [UInt8])
        case flush
    }

    private(set) var events: [Event] = []
    /// Writes and flushes that still work; nil: all. Then they fail with EIO, the sectors before that written.
    public var operationsLeft: Int?
    /// Reads at these sectors fail with EIO.
    public var unreadable: Set<Int> = []

    /// A disk full of zeros.
    public convenience init(size: Int) {
        self.init([UInt8](repeating: 0, count: size))
    }

    /// - Parameter content: whole sectors.
    public convenience init(_ content: [UInt8]) {
        precondition(content.count % Self.sectorSize == 0, "a disk has whole sectors")
        self.init(base: content, written: [:])
    }

    private init(base: [UInt8], written: [Int: [UInt8]]) {
        self.base = base
        self.written = written
        initial = written
        size = UInt64(base.count)
    }

    /// Another disk with the same content and no history.
    public func copy() -> SimulatedDisk { SimulatedDisk(base: base, written: written) }

    /// How many sectors were written and flushes done since the beginning.
    public var eventCount: Int { events.count }

    /// How many sectors were written since the beginning.
    public var writeCount: Int {
        events.count { event in if case .write = event { true } else { false } }
    }

    public func read(_ count: Int, at offset: UInt64) throws(SystemError) -> [UInt8] {
        try check(count, at: offset, "read")
        if count == 0 { return [] }
        let start = Int(offset)
        var bytes = Array(base[start..<start + count])
        for sector in start / Self.sectorSize...(start + count - 1) / Self.sectorSize {
            if unreadable.contains(sector) {
                throw SystemError(number: SystemError.inputOutput, operation: "read", subject: name)
            }
            guard let sectorBytes = written[sector] else { continue }
            let first = sector * Self.sectorSize
            let from = max(first, start)
            let to = min(first + Self.sectorSize, start + count)
            bytes.replaceSubrange(from - start..<to - start, with: sectorBytes[from - first..<to - first])
        }
        return bytes
    }

    public func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) {
        try check(bytes.count, at: offset, "write")
        if bytes.isEmpty { return }
        let start = Int(offset)
        for sector in start / Self.sectorSize...(start + bytes.count - 1) / Self.sectorSize {
            try spend("write")
            let first = sector * Self.sectorSize
            let from = max(first, start)
            let to = min(first + Self.sectorSize, start + bytes.count)
            var content = try read(Self.sectorSize, at: UInt64(first))
            content.replaceSubrange(from - first..<to - first, with: bytes[from - start..<to - start])
            written[sector] = content
            events.append(.write(sector: sector, bytes: content))
        }
    }

    public func flush() throws(SystemError) {
        try spend("flush")
        events.append(.flush)
    }

    public func dropCache() {}

    private func spend(_ operation: String) throws(SystemError) {
        guard let left = operationsLeft else { return }
        guard left > 0 else { throw SystemError(number: SystemError.inputOutput, operation: operation, subject: name) }
        operationsLeft = left - 1
    }
}

extension SimulatedDisk {
    /// How the sectors that were written but not flushed may be found after a power cut.
    public struct Cut: CustomStringConvertible {
        /// How many writes and flushes had happened.
        public var events: Int
        public var kept: String
        public var description: String { "power cut after \(events) events, \(kept)" }
    }

    /// Calls `body` with the disk as it may be found after a power cut, for every moment of its history: all of the unflushed sectors
    /// there, none of them, only the last of them, and some chosen at random.
    ///
    /// - Parameters:
    ///   - choices: how many random choices at each moment.
    ///   - tearing: also try the last sector half written. Real disks do not do that; a format that survives it is better off.
    public func forEachPowerCut(
        choices: Int = 2, seed: UInt64 = 1, tearing: Bool = false, _ body: (SimulatedDisk, Cut) throws -> Void
    ) rethrows {
        var random = SplitMix(state: seed)
        var durable = SimulatedDisk(base: base, written: initial)
        var pending: [(sector: Int, bytes: [UInt8])] = []
        for moment in 0...events.count {
            if moment > 0 {
                switch events[moment - 1] {
                case .write(let sector, let bytes): pending.append((sector, bytes))
                case .flush:
                    durable = durable.keeping(pending)
                    pending = []
                }
            }
            try body(durable.keeping(pending), Cut(events: moment, kept: "all unflushed sectors kept"))
            guard let last = pending.last else { continue }
            try body(durable.copy(), Cut(events: moment, kept: "no unflushed sector kept"))
            try body(durable.keeping([last]), Cut(events: moment, kept: "only the last sector kept"))
            if tearing {
                let before = durable.keeping(pending.dropLast())
                let old = before.written[last.sector] ?? before.sector(last.sector)
                let torn = Array(last.bytes[..<256] + old[256...])
                try body(before.keeping([(last.sector, torn)]), Cut(events: moment, kept: "the last sector torn"))
            }
            for _ in 0..<choices {
                let some = pending.filter { _ in random.next() & 1 == 0 }
                try body(durable.keeping(some), Cut(events: moment, kept: "\(some.count) unflushed sectors kept"))
            }
        }
    }

    private func sector(_ number: Int) -> [UInt8] {
        Array(base[number * Self.sectorSize..<(number + 1) * Self.sectorSize])
    }

    private func keeping(_ sectors: some Sequence<(sector: Int, bytes: [UInt8])>) -> SimulatedDisk {
        var all = written
        for (sector, bytes) in sectors { all[sector] = bytes }
        return SimulatedDisk(base: base, written: all)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers for the same seed.
private struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}

extension SimulatedDisk {
    /// A partition of the disk. Its flush is the whole disk's, as it is with real ones.
    public final class Partition: BlockStore {
        private let disk: SimulatedDisk
        private let start: UInt64
        public let size: UInt64
        public var blockSize: Int { disk.blockSize }
        public let name: String

        public init(_ disk: SimulatedDisk, start: UInt64, size: UInt64, name: String) {
            self.disk = disk
            self.start = start
            self.size = size
            self.name = name
        }

        public func read(_ count: Int, at offset: UInt64) throws(SystemError) -> [UInt8] {
            try check(count, at: offset, "read")
            return try disk.read(count, at: start + offset)
        }

        public func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) {
            try check(bytes.count, at: offset, "write")
            try disk.write(bytes, at: start + offset)
        }

        public func flush() throws(SystemError) { try disk.flush() }

        public func dropCache() {}
    }
}
