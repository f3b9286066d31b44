import NetEngine

/// Which frames a driver wants to see: exact addresses, a hash of multicast addresses, VLANs (8254x manual, section 3.2.1).
/// A trivial value.
struct E1000Filter: BitwiseCopyable, Sendable {
    static let addressCount = 16

    private var control: UInt32 = 0
    private var addresses = InlineArray<16, UInt64>(repeating: 0)
    private var addressesValid: UInt16 = 0
    private var hashes = InlineArray<128, UInt32>(repeating: 0)
    private var vlans = InlineArray<128, UInt32>(repeating: 0)
    private var vlanType: UInt16 = 0x8100
    private var usesHashes = false

    init() {}

    init(_ words: [UInt32]) {
        func word(_ offset: Int) -> UInt32 { words[offset / 4] }
        control = word(E1000Register.receiveControl)
        vlanType = UInt16(truncatingIfNeeded: word(E1000Register.vlanType))
        for index in 0..<Self.addressCount {
            let low = word(E1000Register.receiveAddress + 8 * index)
            let high = word(E1000Register.receiveAddress + 8 * index + 4)
            if high & 1 << 31 != 0 { addressesValid |= 1 << UInt16(index) }
            addresses[index] = (UInt64(low) | UInt64(high & 0xffff) << 32).byteSwapped >> 16
        }
        for index in 0..<128 {
            hashes[index] = word(E1000Register.multicastTable + 4 * index)
            vlans[index] = word(E1000Register.vlanTable + 4 * index)
            if hashes[index] != 0 { usesHashes = true }
        }
    }

    private var isUnicastPromiscuous: Bool { control & E1000ReceiveControl.unicastPromiscuous != 0 }
    private var isMulticastPromiscuous: Bool { control & E1000ReceiveControl.multicastPromiscuous != 0 }

    /// Whether the driver wants a frame that begins with these bytes.
    func accepts(_ head: InlineArray<18, UInt8>, count: Int) -> Bool {
        guard count >= Frame.headerLength else { return false }
        if control & E1000ReceiveControl.vlanFilter != 0, count >= Frame.filteredLength,
            UInt16(head[12]) << 8 | UInt16(head[13]) == vlanType
        {
            let identifier = (Int(head[14]) << 8 | Int(head[15])) & 0xfff
            if vlans[identifier >> 5] & 1 << UInt32(identifier & 31) == 0 { return false }
        }
        let high = UInt64(head[0]) << 40 | UInt64(head[1]) << 32 | UInt64(head[2]) << 24
        let target = high | UInt64(head[3]) << 16 | UInt64(head[4]) << 8 | UInt64(head[5])
        if target & 1 << 40 == 0 {
            if isUnicastPromiscuous { return true }
        } else {
            if isMulticastPromiscuous { return true }
            if target == MACAddress.broadcast.rawValue, control & E1000ReceiveControl.broadcast != 0 { return true }
        }
        for index in 0..<Self.addressCount
        where addressesValid & 1 << UInt16(index) != 0 && addresses[index] == target {
            return true
        }
        guard target & 1 << 40 != 0 else { return false }
        // Twelve bits of the last two bytes; which ones is the driver's choice (section 13.5.1).
        let last = UInt32(head[4]) | UInt32(head[5]) << 8
        let shift: UInt32
        switch control >> 12 & 3 {
        case 0: shift = 4
        case 1: shift = 3
        case 2: shift = 2
        default: shift = 0
        }
        let hash = last >> shift & 0xfff
        return hashes[Int(hash >> 5)] & 1 << (hash & 31) != 0
    }

    /// The same for a back end, which may let more pass: it has no hashes.
    var listed: NetFilter {
        var filter = NetFilter(MACAddress(rawValue: addresses[0]))
        filter.isPromiscuous = isUnicastPromiscuous
        filter.allMulticast = isMulticastPromiscuous || usesHashes
        let others = (1..<Self.addressCount).filter { addressesValid & 1 << UInt16($0) != 0 }
        filter.setAddresses(others.map { MACAddress(rawValue: addresses[$0]) })
        return filter
    }
}
