public import Addresses
import CLinux

/// A network interface as the kernel has it now.
public struct NetworkLink: Equatable, Sendable {
    /// The kernel's number for it, for as long as it exists.
    public var index: UInt32 = 0
    public var name = ""
    /// `bridge`, `bond`, `veth`, `tun` …; nil for hardware and the loopback.
    public var kind: String?
    /// Switched on by the administrator.
    public var isUp = false
    /// Has a cable, or whatever stands for it. A link that is not up has none.
    public var hasCarrier = false
    /// Largest packet in bytes, without the Ethernet header.
    public var mtu: UInt32 = 0
    /// nil for links that are not Ethernet.
    public var macAddress: MACAddress?
    /// The one burnt in, where the driver knows.
    public var permanentMACAddress: MACAddress?
    /// The number of the bridge or bond that this is a port of; 0 for none.
    public var master: UInt32 = 0
    /// The number of the other end of a veth pair, as its own network counts; nil for others.
    public var peer: UInt32?
    /// A text of the administrator's for this link.
    public var alias = ""
    /// The device behind it: its name on its bus, such as `0000:03:00.0`. Kernel 5.14.
    public var device: String?
    public var bridge: BridgeOptions?
    public var bond: BondOptions?
    /// Of a port of a bond.
    public var bondPort: BondPort?
    /// Of a port of a bridge.
    public var bridgePort: BridgePort?

    public init() {}

    /// Of a bond's port, as the bond sees it.
    public struct BondPort: Equatable, Sendable {
        /// Carries traffic, or would at once.
        public var isActive: Bool
        /// The bond's own view of its link.
        public var hasLink: Bool

        public init(isActive: Bool, hasLink: Bool) {
            self.isActive = isActive
            self.hasLink = hasLink
        }
    }

    /// How a bridge treats a port.
    public struct BridgePort: Equatable, Sendable {
        /// Takes down which addresses are behind it.
        public var learns: Bool
        /// Gets frames to addresses that the bridge does not know.
        public var floods: Bool

        public init(learns: Bool, floods: Bool) {
            self.learns = learns
            self.floods = floods
        }
    }

    /// Reads an RTM_NEWLINK message; nil if it is too short to be one.
    init?(_ message: NetlinkMessage) {
        // struct ifinfomsg: family, padding, u16 type, s32 index, u32 flags, u32 change.
        guard let kindOfLink = message.word(at: 0), let index = message.word(at: 4), let flags = message.word(at: 8)
        else { return nil }
        let attributes = message.attributes(after: 16)
        guard let name = attributes.text(IFLA_IFNAME) else { return nil }
        self.index = index
        self.name = name
        isUp = flags & 1 != 0  // IFF_UP
        hasCarrier = attributes.number(IFLA_CARRIER).map { $0 != 0 } ?? false
        mtu = attributes.word(IFLA_MTU) ?? 0
        if kindOfLink >> 16 == 1 {  // ARPHRD_ETHER
            macAddress = attributes[IFLA_ADDRESS].flatMap { MACAddress($0) }
            permanentMACAddress = attributes[IFLA_PERM_ADDRESS].flatMap { MACAddress($0) }
        }
        master = attributes.word(IFLA_MASTER) ?? 0
        alias = attributes.text(IFLA_IFALIAS) ?? ""
        device = attributes.text(IFLA_PARENT_DEV_NAME)
        guard let information = attributes.nested(IFLA_LINKINFO) else { return }
        kind = information.text(IFLA_INFO_KIND)
        if kind == "veth" { peer = attributes.word(IFLA_LINK) }
        let data = information.nested(IFLA_INFO_DATA)
        if kind == "bridge" { bridge = data.map { BridgeOptions($0) } }
        if kind == "bond" { bond = data.map { BondOptions($0) } }
        guard let port = information.nested(IFLA_INFO_SLAVE_DATA) else { return }
        switch information.text(IFLA_INFO_SLAVE_KIND) {
        case "bond":
            bondPort = BondPort(
                isActive: port.number(IFLA_BOND_SLAVE_STATE) == 0,  // BOND_STATE_ACTIVE
                hasLink: port.number(IFLA_BOND_SLAVE_MII_STATUS) == 0)  // BOND_LINK_UP
        case "bridge":
            bridgePort = BridgePort(
                learns: port.number(IFLA_BRPORT_LEARNING) != 0, floods: port.number(IFLA_BRPORT_UNICAST_FLOOD) != 0)
        default: break
        }
    }
}

/// What makes a bridge a virtual switch.
public struct BridgeOptions: Equatable, Sendable {
    /// Keeps VLANs apart (IFLA_BR_VLAN_FILTERING).
    public var filtersVLANs = false
    /// The VLAN a new port is put into; 0 for none.
    public var defaultVLAN: UInt16 = 1

    public init() {}

    init(_ attributes: NetlinkAttributes) {
        filtersVLANs = attributes.number(IFLA_BR_VLAN_FILTERING) == 1
        defaultVLAN = UInt16(truncatingIfNeeded: attributes.number(IFLA_BR_VLAN_DEFAULT_PVID) ?? 0)
    }
}

/// How a bond spreads traffic over its ports (Documentation/networking/bonding.rst).
public struct BondOptions: Equatable, Sendable {
    /// Modes by the kernel's numbers.
    public enum Mode: UInt8, Sendable {
        case roundRobin = 0
        case activeBackup = 1
        case balanceXOR = 2
        case broadcast = 3
        case lacp = 4
        case balanceTLB = 5
        case balanceALB = 6
    }

    /// What a frame's port is computed from, in modes that do.
    public enum HashPolicy: UInt8, Sendable {
        case layer2 = 0
        case layer3And4 = 1
        case layer2And3 = 2
        case encapsulated2And3 = 3
        case encapsulated3And4 = 4
        case vlanAndSource = 5
    }

    /// When a preferred port that has its link again is used again.
    public enum Reselect: UInt8, Sendable {
        case always = 0
        case better = 1
        /// Only when the present one fails.
        case failure = 2
    }

    public var mode = Mode.activeBackup
    public var hashPolicy = HashPolicy.layer2
    public var reselect = Reselect.always
    /// How often ports' links are looked at, in milliseconds; 0 for never.
    public var monitorMilliseconds: UInt32 = 100
    /// The preferred port's number; 0 for none.
    public var primary: UInt32 = 0
    /// The port in use, in active-backup mode; 0 for none.
    public var active: UInt32 = 0

    public init() {}

    init(_ attributes: NetlinkAttributes) {
        let byte = { (type: Int) in UInt8(truncatingIfNeeded: attributes.number(type) ?? 0) }
        mode = Mode(rawValue: byte(IFLA_BOND_MODE)) ?? .roundRobin
        hashPolicy = HashPolicy(rawValue: byte(IFLA_BOND_XMIT_HASH_POLICY)) ?? .layer2
        reselect = Reselect(rawValue: byte(IFLA_BOND_PRIMARY_RESELECT)) ?? .always
        monitorMilliseconds = attributes.word(IFLA_BOND_MIIMON) ?? 0
        primary = attributes.word(IFLA_BOND_PRIMARY) ?? 0
        active = attributes.word(IFLA_BOND_ACTIVE_SLAVE) ?? 0
    }
}
