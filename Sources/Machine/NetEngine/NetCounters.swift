import Synchronization

/// What passed one direction of one queue. Written by the queue's thread, read by anyone.
public final class NetCounters: Sendable {
    private let packetCount = Atomic<UInt64>(0)
    private let byteCount = Atomic<UInt64>(0)
    private let dropCount = Atomic<UInt64>(0)
    private let errorCount = Atomic<UInt64>(0)

    public init() {}

    /// A packet went through; `bytes` without the header.
    @inline(__always) public func countPacket(bytes: Int) {
        // One thread writes, so plain loads and stores suffice; an atomic addition would lock the bus.
        packetCount.store(packetCount.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
        let sum = byteCount.load(ordering: .relaxed) &+ UInt64(truncatingIfNeeded: bytes)
        byteCount.store(sum, ordering: .relaxed)
    }

    /// A packet was not wanted, or there was no room for it.
    public func countDrop() { dropCount.store(dropCount.load(ordering: .relaxed) &+ 1, ordering: .relaxed) }

    /// A packet was malformed, or the other side refused it.
    public func countError() { errorCount.store(errorCount.load(ordering: .relaxed) &+ 1, ordering: .relaxed) }

    public var values: NetStatistics {
        NetStatistics(
            packets: packetCount.load(ordering: .relaxed), bytes: byteCount.load(ordering: .relaxed),
            drops: dropCount.load(ordering: .relaxed), errors: errorCount.load(ordering: .relaxed))
    }
}

/// Counts since power-on.
public struct NetStatistics: Equatable, Sendable {
    public var packets: UInt64 = 0
    /// Without headers of ours.
    public var bytes: UInt64 = 0
    public var drops: UInt64 = 0
    public var errors: UInt64 = 0

    public init(packets: UInt64 = 0, bytes: UInt64 = 0, drops: UInt64 = 0, errors: UInt64 = 0) {
        self.packets = packets
        self.bytes = bytes
        self.drops = drops
        self.errors = errors
    }

    public static func + (left: NetStatistics, right: NetStatistics) -> NetStatistics {
        NetStatistics(
            packets: left.packets &+ right.packets, bytes: left.bytes &+ right.bytes, drops: left.drops &+ right.drops,
            errors: left.errors &+ right.errors)
    }
}
