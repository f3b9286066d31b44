import NetEngine

// Feature bits of a network device (virtio 1.2, section 5.1.3).
extension VirtioFeatures {
    /// The device takes packets without checksum.
    public static let netChecksum = VirtioFeatures(bit: 0)
    /// The driver takes packets without checksum.
    public static let netGuestChecksum = VirtioFeatures(bit: 1)
    /// The driver may switch what it takes while running.
    public static let netControlOffloads = VirtioFeatures(bit: 2)
    public static let netMTU = VirtioFeatures(bit: 3)
    public static let netAddress = VirtioFeatures(bit: 5)
    public static let netGuestTCP4 = VirtioFeatures(bit: 7)
    public static let netGuestTCP6 = VirtioFeatures(bit: 8)
    public static let netGuestECN = VirtioFeatures(bit: 9)
    public static let netGuestUDP = VirtioFeatures(bit: 10)
    public static let netHostTCP4 = VirtioFeatures(bit: 11)
    public static let netHostTCP6 = VirtioFeatures(bit: 12)
    public static let netHostECN = VirtioFeatures(bit: 13)
    public static let netHostUDP = VirtioFeatures(bit: 14)
    /// A received packet may take several buffers.
    public static let netMergeableBuffers = VirtioFeatures(bit: 15)
    public static let netStatus = VirtioFeatures(bit: 16)
    public static let netControlQueue = VirtioFeatures(bit: 17)
    public static let netControlReceive = VirtioFeatures(bit: 18)
    public static let netControlVLAN = VirtioFeatures(bit: 19)
    /// The device may ask the driver to make itself known to the network.
    public static let netGuestAnnounce = VirtioFeatures(bit: 21)
    public static let netMultiQueue = VirtioFeatures(bit: 22)
    public static let netControlAddress = VirtioFeatures(bit: 23)
    public static let netSpeed = VirtioFeatures(bit: 63)

    private static let guestOffloads: [(VirtioFeatures, NetOffloads)] = [
        (.netGuestChecksum, .checksum), (.netGuestTCP4, .tcp4), (.netGuestTCP6, .tcp6), (.netGuestECN, .ecn),
        (.netGuestUDP, .udp),
    ]
    private static let hostOffloads: [(VirtioFeatures, NetOffloads)] = [
        (.netChecksum, .checksum), (.netHostTCP4, .tcp4), (.netHostTCP6, .tcp6), (.netHostECN, .ecn),
        (.netHostUDP, .udp),
    ]

    /// The bits that say the driver takes packets so.
    init(guestTakes offloads: NetOffloads) {
        self = []
        for (feature, offload) in Self.guestOffloads where offloads.contains(offload) { insert(feature) }
    }

    /// The bits that say the device takes packets so.
    init(hostTakes offloads: NetOffloads) {
        self = []
        for (feature, offload) in Self.hostOffloads where offloads.contains(offload) { insert(feature) }
    }

    /// What the driver takes. Segmentation without checksums means nothing and counts as not accepted.
    var guestTakes: NetOffloads { Self.offloads(self, Self.guestOffloads) }
    /// What the device is to take.
    var hostTakes: NetOffloads { Self.offloads(self, Self.hostOffloads) }

    private static func offloads(
        _ features: VirtioFeatures, _ pairs: [(VirtioFeatures, NetOffloads)]
    ) -> NetOffloads {
        var result: NetOffloads = []
        for (feature, offload) in pairs where features.contains(feature) { result.insert(offload) }
        return result.contains(.checksum) ? result : []
    }
}
