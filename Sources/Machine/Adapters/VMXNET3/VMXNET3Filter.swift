import GuestMemory
import NetEngine

/// Which frames a vmxnet3 driver wants to see. A trivial value.
struct VMXNET3Filter: BitwiseCopyable {
    /// Addresses and VLANs.
    private(set) var listed: NetFilter
    private var mode: UInt32 = 0

    /// A filter that lets nothing through until the driver says what it wants.
    init(_ address: MACAddress) {
        listed = NetFilter(address)
        listed.isPromiscuous = false
        listed.filtersVLANs = true
    }

    /// The card's own address.
    var address: MACAddress {
        get { listed.address }
        set { listed.address = newValue }
    }

    /// Reads mode and multicast addresses from the structure that the driver shares.
    mutating func readMode(_ ram: GuestRAM, shared: GuestAddress) {
        mode = ram.load(UInt32.self, at: shared &+ VMXNET3.Shared.receiveMode) ?? 0
        listed.isPromiscuous = mode & VMXNET3.ReceiveMode.promiscuous != 0
        listed.allMulticast = mode & VMXNET3.ReceiveMode.allMulticast != 0
        let bytes = ram.load(UInt16.self, at: shared &+ VMXNET3.Shared.multicastCount) ?? 0
        let table = ram.load(UInt64.self, at: shared &+ VMXNET3.Shared.multicastTable) ?? 0
        guard mode & VMXNET3.ReceiveMode.multicast != 0 else { return listed.setAddresses([]) }
        let count = Int(bytes) / 6
        var addresses: [MACAddress] = []
        for index in 0..<min(count, NetFilter.addressesMax) {
            var value: UInt64 = 0
            for byte in 0..<6 {
                let place = table &+ UInt64(truncatingIfNeeded: 6 * index + byte)
                value = value << 8 | UInt64(ram.load(UInt8.self, at: place) ?? 0)
            }
            addresses.append(MACAddress(rawValue: value))
        }
        listed.setAddresses(addresses, multicastOverflow: count > NetFilter.addressesMax)
    }

    mutating func readVLANs(_ ram: GuestRAM, shared: GuestAddress) {
        for word in 0..<128 {
            let place = shared &+ VMXNET3.Shared.vlanTable &+ UInt64(truncatingIfNeeded: 4 * word)
            let bits = ram.load(UInt32.self, at: place) ?? 0
            for bit in 0..<32 {
                listed.setVLAN(UInt16(truncatingIfNeeded: 32 * word + bit), bits & 1 << UInt32(bit) != 0)
            }
        }
    }

    /// Whether the driver wants a frame that begins with these bytes.
    @inline(__always)
    func accepts(_ head: InlineArray<18, UInt8>, count: Int) -> Bool {
        if mode & VMXNET3.ReceiveMode.promiscuous == 0 {
            let wanted: UInt32
            if head[0] & 1 == 0 {
                wanted = VMXNET3.ReceiveMode.unicast
            } else if head[0] & head[1] & head[2] & head[3] & head[4] & head[5] == 0xff {
                wanted = VMXNET3.ReceiveMode.broadcast
            } else {
                wanted = VMXNET3.ReceiveMode.multicast | VMXNET3.ReceiveMode.allMulticast
            }
            if mode & wanted == 0 { return false }
        }
        return listed.accepts(head, count: count)
    }
}
