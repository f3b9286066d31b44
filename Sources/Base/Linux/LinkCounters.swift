/// What the kernel counts of a network interface since it was made. As the host sees it: a tap receives what the guest
/// transmits.
public struct LinkCounters: Equatable, Sendable {
    public var receivedPackets: UInt64 = 0
    public var receivedBytes: UInt64 = 0
    public var receivedDrops: UInt64 = 0
    public var transmittedPackets: UInt64 = 0
    public var transmittedBytes: UInt64 = 0
    public var transmittedDrops: UInt64 = 0

    public init() {}

    /// The counters of an interface in this process's network; nil where the kernel does not show them (no sysfs, or the
    /// interface is in another network).
    public init?(of link: String) {
        guard !link.contains("/"),
            let folder = try? Descriptor(opening: "/sys/class/net/\(link)/statistics", [.readOnly, .directory])
        else { return nil }
        let fields: [(String, WritableKeyPath<LinkCounters, UInt64>)] = [
            ("rx_packets", \.receivedPackets), ("rx_bytes", \.receivedBytes), ("rx_dropped", \.receivedDrops),
            ("tx_packets", \.transmittedPackets), ("tx_bytes", \.transmittedBytes),
            ("tx_dropped", \.transmittedDrops),
        ]
        for (name, field) in fields {
            guard let file = try? folder.opening(name, .readOnly), let bytes = try? file.contents(upTo: 64),
                let value = Self.number(bytes)
            else { return nil }
            self[keyPath: field] = value
        }
    }

    /// Decimal digits and a line feed.
    private static func number(_ bytes: [UInt8]) -> UInt64? {
        var value: UInt64 = 0
        for byte in bytes where byte != UInt8(ascii: "\n") {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            value = value &* 10 &+ UInt64(byte - UInt8(ascii: "0"))
        }
        return bytes.isEmpty ? nil : value
    }

    /// What was counted since an earlier look.
    public func since(_ earlier: LinkCounters) -> LinkCounters {
        var result = LinkCounters()
        result.receivedPackets = receivedPackets &- earlier.receivedPackets
        result.receivedBytes = receivedBytes &- earlier.receivedBytes
        result.receivedDrops = receivedDrops &- earlier.receivedDrops
        result.transmittedPackets = transmittedPackets &- earlier.transmittedPackets
        result.transmittedBytes = transmittedBytes &- earlier.transmittedBytes
        result.transmittedDrops = transmittedDrops &- earlier.transmittedDrops
        return result
    }
}
