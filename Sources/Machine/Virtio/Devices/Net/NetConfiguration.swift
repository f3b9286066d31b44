import NetEngine

/// What a network device's driver reads of it (virtio 1.2, section 5.1.4).
struct NetConfiguration: Sendable {
    enum Status {
        static let linkUp: UInt16 = 1
        /// The driver is asked to make itself known to the network.
        static let announce: UInt16 = 2
    }

    var address: MACAddress
    var status: UInt16
    var pairsMax: UInt16
    var mtu: UInt16
    /// In Mbit/s.
    var speed: UInt32

    /// Registers of the configuration from offset 0.
    var bytes: [UInt8] {
        var bytes = address.bytes
        for word in [status, pairsMax, mtu] { bytes += [UInt8(word & 0xff), UInt8(word >> 8)] }
        for shift: UInt32 in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: speed >> shift)) }
        return bytes + [1]  // full duplex
    }
}
