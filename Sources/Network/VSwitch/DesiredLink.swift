public import Addresses
public import Linux

/// A kernel link as it shall be. What is nil is left as it is.
public struct DesiredLink: Equatable, Sendable {
    public enum Kind: Equatable, Sendable {
        /// Hardware, or a virtual machine's tap: not ours to make or to delete.
        case foreign
        /// A virtual switch.
        case bridge
        /// Several uplinks as one.
        case bond(Teaming)
        /// One end of a pair; the other end is called so.
        case pair(peer: String)
    }

    /// How a bond uses its adapters.
    public struct Teaming: Equatable, Sendable {
        public var mode: BondOptions.Mode
        public var hashPolicy: BondOptions.HashPolicy
        /// The preferred adapter, in active-backup mode.
        public var primary: String?
        public var reselect: BondOptions.Reselect
    }

    public var name: String
    public var kind: Kind
    /// The bridge or bond it is a port of; nil: of none.
    public var master: String?
    public var mtu: UInt32?
    public var macAddress: MACAddress?
    /// Of a bridge's port.
    public var vlans: PortVLANs?
    /// Of a bridge's port.
    public var port: NetworkLink.BridgePort?
    /// The host has IPv6 on this link.
    public var ipv6 = false
    public var alias = ""

    public init(_ name: String, _ kind: Kind) {
        self.name = name
        self.kind = kind
    }
}

/// Marks on links, by which a restarted agent knows what is what (IFLA_IFALIAS).
public enum LinkMark {
    private static let prefix = "wafer:"
    private static let portPrefix = "wafer:port:"

    /// Of links that the agent made itself.
    public static func ours(_ purpose: String) -> String { prefix + purpose }

    /// Of a virtual machine's tap.
    public static func port(of group: String) -> String { portPrefix + group }

    /// Of a tap that is in no port group any more. The kernel cannot take a mark away.
    public static let disconnected = "wafer-disconnected"

    /// Whether the agent made the link, and may delete it.
    public static func isOurs(_ alias: String) -> Bool { alias.hasPrefix(prefix) && !alias.hasPrefix(portPrefix) }

    /// The port group that a tap is connected to.
    public static func portGroup(_ alias: String) -> String? {
        alias.hasPrefix(portPrefix) ? String(alias.dropFirst(portPrefix.count)) : nil
    }
}
