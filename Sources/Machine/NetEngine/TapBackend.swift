public import Linux

/// A tap interface: the kernel's network stack, and its bridges, on the other side.
public final class TapBackend: NetBackend {
    /// One queue of the tap.
    final class Queue: NetQueue {
        let tap: TapQueue?
        let descriptor: CInt

        init(_ tap: TapQueue) {
            self.tap = tap
            descriptor = tap.raw
        }

        @unsafe func send(_ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult {
            unsafe writeRecord(descriptor, pieces, count)
        }

        @unsafe func receive(_ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult {
            unsafe readRecord(descriptor, pieces, count)
        }
    }

    private let taps: [TapQueue]
    private let queues: [Queue]
    private let countersAtFirst: LinkCounters?
    public let offloads: NetOffloads

    /// The interface's name on the host.
    public var name: String { taps[0].name }
    public var queueCount: Int { queues.count }

    /// Opens the interface `name`, which is made if there is none, with that many queues.
    public convenience init(_ name: String, queueCount: Int = 1) throws(SystemError) {
        var taps: [TapQueue] = []
        for _ in 0..<max(queueCount, 1) { taps.append(try TapQueue(name, multiQueue: queueCount > 1)) }
        try self.init(taps)
    }

    /// Uses queues that are open; all of one interface.
    public init(_ taps: [TapQueue]) throws(SystemError) {
        guard let first = taps.first else {
            throw SystemError(number: 22, operation: "use a tap without queues")
        }
        if let other = taps.first(where: { $0.name != first.name }) {
            throw SystemError(number: 22, operation: "use queues of two taps as one", subject: other.name)
        }
        self.taps = taps
        queues = taps.map { Queue($0) }
        countersAtFirst = LinkCounters(of: first.name)
        offloads = NetOffloads(first.supportedOffloads(of: TapOffloads(.all)))
        try setActiveQueues(1)
    }

    public func queue(_ index: Int) -> any NetQueue { queues[index] }

    public func setGuestOffloads(_ offloads: NetOffloads) throws(SystemError) {
        try taps[0].setOffloads(TapOffloads(offloads.intersection(self.offloads)))
    }

    public func setActiveQueues(_ count: Int) throws(SystemError) {
        guard taps[0].isMultiQueue else { return }
        for (index, tap) in taps.enumerated() { try tap.setAttached(index < count) }
    }

    public var statistics: (toGuest: NetStatistics, fromGuest: NetStatistics)? {
        guard let countersAtFirst, let now = LinkCounters(of: name)?.since(countersAtFirst) else { return nil }
        return (
            NetStatistics(packets: now.transmittedPackets, bytes: now.transmittedBytes, drops: now.transmittedDrops),
            NetStatistics(packets: now.receivedPackets, bytes: now.receivedBytes, drops: now.receivedDrops)
        )
    }

    public func setLink(up: Bool) {
        // Kernels before 5.0 cannot; there only the guest sees that the cable is out.
        try? taps[0].setCarrier(up)
    }

    public func setFilter(_ filter: NetFilter) {
        var addresses: [[UInt8]]? = nil
        if !filter.isPromiscuous, !filter.unicastOverflow {
            // The kernel compares the first eight exactly; of the others only multicast ones may be listed.
            let listed = [filter.address, .broadcast] + filter.addresses
            let unicast = listed.filter { !$0.isMulticast }
            addresses = (unicast + listed.filter(\.isMulticast)).map(\.bytes)
        }
        // A filter saves work; without it the adapter's own check does all.
        try? taps[0].setReceiveFilter(addresses, allMulticast: filter.allMulticast || filter.multicastOverflow)
    }
}

extension TapOffloads {
    init(_ offloads: NetOffloads) {
        self = []
        for (ours, theirs) in Self.pairs where offloads.contains(ours) { insert(theirs) }
        // The kernel takes segmentation only together with checksums.
        if !contains(.checksum) { self = [] }
    }

    static let pairs: [(NetOffloads, TapOffloads)] = [
        (.checksum, .checksum), (.tcp4, .tcp4), (.tcp6, .tcp6), (.ecn, .ecn), (.udp, .udp),
    ]
}

extension NetOffloads {
    init(_ offloads: TapOffloads) {
        self = []
        for (ours, theirs) in TapOffloads.pairs where offloads.contains(theirs) { insert(ours) }
    }
}
