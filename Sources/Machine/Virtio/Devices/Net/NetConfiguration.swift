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

    /// The structure that the driver reads.
    var registers: DeviceConfiguration {
        var registers = DeviceConfiguration()
        for shift: UInt64 in [40, 32, 24, 16, 8, 0] {
            registers.append(UInt8(truncatingIfNeeded: address.rawValue >> shift))
        }
        registers.append(status)
        registers.append(pairsMax)
        registers.append(mtu)
        registers.append(speed)
        registers.append(UInt8(1))  // full duplex
        return registers
    }
}
