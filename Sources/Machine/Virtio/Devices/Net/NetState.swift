import NetEngine
import SavedState

/// What a network device has to be saved, version 1.
struct NetState: FieldCoded {
    var address = MACAddress(rawValue: 0)
    var isLinkUp = true
    var filter = NetFilter(MACAddress(rawValue: 0))
    var pairs: UInt16 = 1
    var offloads: UInt64 = 0

    init() {}

    init(_ configuration: NetConfiguration, _ filter: NetFilter, pairs: Int, offloads: UInt64) {
        address = configuration.address
        isLinkUp = configuration.status & NetConfiguration.Status.linkUp != 0
        self.filter = filter
        self.pairs = UInt16(clamping: pairs)
        self.offloads = offloads
    }

    mutating func code(_ coder: inout FieldCoder) {
        var raw = address.rawValue
        coder.field(&raw, "address")
        coder.check(raw >> 48 == 0, "more than six bytes")
        address = MACAddress(rawValue: raw)
        coder.field(&isLinkUp, "link")
        coder.field(&filter)
        coder.field(&pairs, "queue pairs")
        coder.field(&offloads, "offloads")
    }
}
