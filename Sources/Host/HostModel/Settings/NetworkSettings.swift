public import Addresses

/// The host's network: adapters, virtual switches, port groups, vmkernel ports, names.
public struct NetworkSettings: SettingsNode {
    /// Which adapter has which name. The host adds adapters as it finds them; a name stays with its adapter.
    public var adapters: [AdapterSettings] = []
    public var switches: [VirtualSwitchSettings] = [.standard]
    public var portGroups: [PortGroupSettings] = [.virtualMachines, .management]
    public var vmknics: [VMKNICSettings] = [.management]
    public var dns = DNSSettings()

    public init() {}

    public mutating func visit(_ visitor: inout some SettingsVisitor) {
        visitor.groups("adapters", &adapters)
        visitor.groups("switches", &switches)
        visitor.groups("portGroups", &portGroups)
        visitor.groups("vmknics", &vmknics)
        visitor.group("dns", &dns)
    }
}

/// A physical adapter's lasting name.
public struct AdapterSettings: SettingsNode {
    /// `vmnicN`.
    public var name = ""
    /// Its permanent MAC address, lower case with colons.
    public var macAddress = ""
    /// Where it sits: the last part of its path in /sys, such as `0000:01:00.0`.
    public var bus = ""

    public init() {}

    public mutating func visit(_ visitor: inout some SettingsVisitor) {
        visitor.value("name", &name)
        visitor.value("macAddress", &macAddress)
        visitor.value("bus", &bus)
    }
}

/// A virtual switch: a VLAN-aware bridge with uplinks.
public struct VirtualSwitchSettings: SettingsNode {
    public var name = ""
    /// Adapters in use, the preferred first. `*` as the only one: the first adapter found that has a link.
    public var activeUplinks: [String] = []
    /// Used when no active one has a link.
    public var standbyUplinks: [String] = []
    public var teaming = Teaming.sourcePort
    /// Go back to a preferred adapter when it has its link again.
    public var failback = true
    /// Largest packet, in bytes, without the Ethernet header.
    public var mtu: UInt32 = 1500

    /// How ports are spread over uplinks. The raw values are VMware's names for the policies.
    public enum Teaming: String, SettingsValue, CaseIterable {
        case sourcePort = "loadbalance_srcid"
        case sourceMAC = "loadbalance_srcmac"
        case ipHash = "loadbalance_ip"
        case explicit = "failover_explicit"
    }

    public init() {}

    /// `vSwitch0` as a host has it at first.
    public static var standard: VirtualSwitchSettings {
        var settings = VirtualSwitchSettings()
        settings.name = "vSwitch0"
        settings.activeUplinks = ["*"]
        return settings
    }

    public mutating func visit(_ visitor: inout some SettingsVisitor) {
        visitor.value("name", &name)
        visitor.values("activeUplinks", &activeUplinks)
        visitor.values("standbyUplinks", &standbyUplinks)
        visitor.value("teaming", &teaming)
        visitor.value("failback", &failback)
        visitor.value("mtu", &mtu)
    }
}

/// A port group: what a virtual machine's adapter or a vmkernel port is connected to, by name.
public struct PortGroupSettings: SettingsNode {
    public var name = ""
    public var virtualSwitch = ""
    /// 0 none, 1 to 4094 tagged by the switch, 4095 all, tagged by the guest.
    public var vlan: UInt16 = 0
    public var allowsPromiscuous = false
    public var allowsMACChanges = true
    public var allowsForgedTransmits = true

    public init() {}

    init(name: String, virtualSwitch: String) {
        self.name = name
        self.virtualSwitch = virtualSwitch
    }

    public static var virtualMachines: PortGroupSettings { .init(name: "VM Network", virtualSwitch: "vSwitch0") }
    public static var management: PortGroupSettings { .init(name: "Management Network", virtualSwitch: "vSwitch0") }

    public mutating func visit(_ visitor: inout some SettingsVisitor) {
        visitor.value("name", &name)
        visitor.value("virtualSwitch", &virtualSwitch)
        visitor.value("vlan", &vlan)
        visitor.value("promiscuous", &allowsPromiscuous)
        visitor.value("macChanges", &allowsMACChanges)
        visitor.value("forgedTransmits", &allowsForgedTransmits)
    }
}

/// A vmkernel port: an address of the host itself.
public struct VMKNICSettings: SettingsNode {
    /// `vmkN`.
    public var name = ""
    /// Whether the port is there at all. One that is switched off keeps its settings.
    public var isEnabled = true
    public var portGroup = ""
    public var ipv4 = IPv4Mode.dhcp
    public var address: IPv4Address?
    /// Bits of the network part, 0 to 32.
    public var prefix: UInt16 = 24
    public var gateway: IPv4Address?
    /// Whether the port has IPv6 at all.
    public var ipv6 = true
    /// Takes addresses from router advertisements.
    public var ipv6Automatic = true
    /// `ADDRESS/PREFIX`.
    public var ipv6Addresses: [IPv6Network] = []
    public var ipv6Gateway: IPv6Address?
    /// Serves the API and the direct console's address line.
    public var isManagement = false
    public var isVMotion = false

    public enum IPv4Mode: String, SettingsValue, CaseIterable { case disabled, dhcp, fixed }

    public init() {}

    public static var management: VMKNICSettings {
        var settings = VMKNICSettings()
        settings.name = "vmk0"
        settings.portGroup = "Management Network"
        settings.isManagement = true
        return settings
    }

    public mutating func visit(_ visitor: inout some SettingsVisitor) {
        visitor.value("name", &name)
        visitor.value("enabled", &isEnabled)
        visitor.value("portGroup", &portGroup)
        visitor.value("ipv4", &ipv4)
        visitor.optional("address", &address)
        visitor.value("prefix", &prefix)
        visitor.optional("gateway", &gateway)
        visitor.value("ipv6", &ipv6)
        visitor.value("ipv6Automatic", &ipv6Automatic)
        visitor.values("ipv6Addresses", &ipv6Addresses)
        visitor.optional("ipv6Gateway", &ipv6Gateway)
        visitor.value("management", &isManagement)
        visitor.value("vmotion", &isVMotion)
    }
}

/// Names and who resolves them.
public struct DNSSettings: SettingsNode {
    /// Servers and suffixes come from DHCP.
    public var isAutomatic = true
    public var servers: [IPv4Address] = []
    /// Suffixes tried for names without a dot, in order.
    public var searchDomains: [String] = []

    public init() {}

    public mutating func visit(_ visitor: inout some SettingsVisitor) {
        visitor.value("automatic", &isAutomatic)
        visitor.values("servers", &servers)
        visitor.values("searchDomains", &searchDomains)
    }
}
