public import SavedState

/// Which received frames a guest wants to see, by destination and VLAN. A trivial value; each queue keeps a copy.
public struct NetFilter: Sendable, BitwiseCopyable {
    /// How many addresses beside its own a guest may list; beyond, everything of that kind passes.
    public static let addressesMax = 64

    /// The station's own address.
    public var address: MACAddress
    /// Everything passes.
    public var isPromiscuous = true
    /// Every multicast frame passes.
    public var allMulticast = false
    /// The guest listed more addresses of a kind than fit.
    public private(set) var unicastOverflow = false
    public private(set) var multicastOverflow = false
    /// Frames with a VLAN tag pass only if the guest listed it.
    public var filtersVLANs = false

    private var listed = InlineArray<64, UInt64>(repeating: 0)
    private var listedCount = 0
    private var vlans = InlineArray<64, UInt64>(repeating: 0)

    /// A filter that lets everything through until it is told otherwise.
    public init(_ address: MACAddress) { self.address = address }

    /// The listed addresses.
    public var addresses: [MACAddress] { (0..<listedCount).map { MACAddress(rawValue: listed[$0]) } }

    /// Replaces the list.
    ///
    /// - Parameters:
    ///   - unicastOverflow, multicastOverflow: there were more of that kind, so that all of that kind must pass.
    public mutating func setAddresses(
        _ addresses: some Sequence<MACAddress>, unicastOverflow: Bool = false, multicastOverflow: Bool = false
    ) {
        listedCount = 0
        self.unicastOverflow = unicastOverflow
        self.multicastOverflow = multicastOverflow
        for address in addresses {
            if listedCount < Self.addressesMax {
                listed[listedCount] = address.rawValue
                listedCount += 1
            } else if address.isMulticast {
                self.multicastOverflow = true
            } else {
                self.unicastOverflow = true
            }
        }
    }

    /// Lists or delists a VLAN, 0...4095.
    public mutating func setVLAN(_ identifier: UInt16, _ on: Bool) {
        let bit: UInt64 = 1 << UInt64(identifier & 63)
        let word = Int(identifier >> 6) & 63
        if on { vlans[word] |= bit } else { vlans[word] &= ~bit }
    }

    public func hasVLAN(_ identifier: UInt16) -> Bool {
        vlans[Int(identifier >> 6) & 63] & 1 << UInt64(identifier & 63) != 0
    }

    /// Whether the guest wants a frame that begins with these bytes.
    ///
    /// - Parameter count: how many of them there are.
    public func accepts(_ head: InlineArray<18, UInt8>, count: Int) -> Bool {
        guard count >= Frame.headerLength else { return false }
        if isPromiscuous { return true }
        if filtersVLANs, head[12] == 0x81, head[13] == 0, count >= Frame.filteredLength {
            let tag = UInt16(head[14]) << 8 | UInt16(head[15])
            // Tag 0 only carries a priority (IEEE 802.1Q, section 9.6).
            if tag & 0xfff != 0, !hasVLAN(tag & 0xfff) { return false }
        }
        let high = UInt64(head[0]) << 40 | UInt64(head[1]) << 32 | UInt64(head[2]) << 24
        let target = high | UInt64(head[3]) << 16 | UInt64(head[4]) << 8 | UInt64(head[5])
        if target == address.rawValue || target == MACAddress.broadcast.rawValue { return true }
        if target & 1 << 40 != 0 {
            if allMulticast || multicastOverflow { return true }
        } else if unicastOverflow {
            return true
        }
        for index in 0..<listedCount where listed[index] == target { return true }
        return false
    }
}

extension NetFilter: FieldCoded {
    public init() { self.init(MACAddress(rawValue: 0)) }

    /// All of it, version 1.
    public mutating func code(_ coder: inout FieldCoder) {
        var own = address.rawValue
        coder.field(&own, "filter address")
        coder.field(&isPromiscuous, "promiscuous")
        coder.field(&allMulticast, "all multicast")
        coder.field(&unicastOverflow, "unicast overflow")
        coder.field(&multicastOverflow, "multicast overflow")
        coder.field(&filtersVLANs, "VLAN filter")
        var list = (0..<listedCount).map { listed[$0] }
        coder.list(&list, limit: Self.addressesMax, "listed addresses")
        for word in vlans.indices { coder.field(&vlans[word], "VLANs") }
        guard coder.isReading, coder.failure == nil else { return }
        address = MACAddress(rawValue: own)
        listedCount = list.count
        for (index, value) in list.enumerated() { listed[index] = value }
    }
}
