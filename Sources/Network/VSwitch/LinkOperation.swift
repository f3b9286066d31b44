public import Addresses
public import Linux

/// A step that brings the kernel's links nearer to the plan.
public enum LinkOperation: Equatable, Sendable {
    case addBridge(String, alias: String)
    case addBond(String, DesiredLink.Teaming, alias: String)
    case addPair(String, peer: String, alias: String)
    case delete(String)
    case setUp(String, Bool)
    case setMaster(String, String?)
    case setMTU(String, UInt32)
    case setMACAddress(String, MACAddress)
    case setVLANs(String, from: PortVLANs, to: PortVLANs)
    case setPort(String, NetworkLink.BridgePort)
    case setPreference(bond: String, primary: String?, BondOptions.Reselect)
    case setIPv6(String, Bool)

    /// Does it.
    public func perform(_ network: inout NetworkConfiguration) throws(SystemError) {
        switch self {
        case .addBridge(let name, let alias): try network.addVLANBridge(name, alias: alias)
        case .addBond(let name, let teaming, let alias):
            var options = BondOptions()
            options.mode = teaming.mode
            options.hashPolicy = teaming.hashPolicy
            options.reselect = teaming.reselect
            try network.addBond(name, options, alias: alias)
        case .addPair(let name, let peer, let alias): try network.addPair(name, peer, alias: alias)
        case .delete(let name): try network.delete(name)
        case .setUp(let name, let up): try network.setUp(name, up)
        case .setMaster(let name, let master): try network.setMaster(of: name, to: master)
        case .setMTU(let name, let mtu): try network.setMTU(of: name, to: mtu)
        case .setMACAddress(let name, let address): try network.setMACAddress(of: name, to: address)
        case .setVLANs(let name, let old, let new): try network.setVLANs(of: name, from: old, to: new)
        case .setPort(let name, let options): try network.setBridgePort(name, options)
        case .setPreference(let bond, let primary, let reselect):
            try network.setPreference(of: bond, primary: primary, reselect: reselect)
        case .setIPv6(let name, let on): try IPv6Setting.set("disable_ipv6", of: name, to: on ? "0" : "1")
        }
    }
}

extension LinkOperation: CustomStringConvertible {
    public var description: String {
        switch self {
        case .addBridge(let name, _): "make switch \(name)"
        case .addBond(let name, let teaming, _): "make team \(name), \(teaming.mode)"
        case .addPair(let name, let peer, _): "make port \(name), in the switch \(peer)"
        case .delete(let name): "remove \(name)"
        case .setUp(let name, let up): "switch \(name) \(up ? "on" : "off")"
        case .setMaster(let name, let master): master.map { "connect \(name) to \($0)" } ?? "disconnect \(name)"
        case .setMTU(let name, let mtu): "MTU of \(name): \(mtu)"
        case .setMACAddress(let name, let address): "MAC address of \(name): \(address)"
        case .setVLANs(let name, _, let new):
            "VLANs of \(name): \(new.untagged.map { "\($0) untagged" } ?? "none untagged"), \(new.tagged.count) tagged"
        case .setPort(let name, let port): "\(name) learns: \(port.learns), floods: \(port.floods)"
        case .setPreference(let bond, let primary, let reselect):
            "preferred adapter of \(bond): \(primary ?? "none"), taken again: \(reselect)"
        case .setIPv6(let name, let on): "IPv6 on \(name): \(on ? "on" : "off")"
        }
    }
}

/// The kernel's IPv6 settings of a link (Documentation/networking/ip-sysctl.rst). They are those of the calling thread's network.
public enum IPv6Setting {
    private static func path(_ setting: String, _ link: String) -> String {
        "/proc/sys/net/ipv6/conf/\(link)/\(setting)"
    }

    /// Sets one if it is another. A kernel without IPv6 has none, and that is no error.
    public static func set(_ setting: String, of link: String, to value: String) throws(SystemError) {
        guard let present = self.value(setting, of: link), present != value else { return }
        try FileSystem.write(value, to: path(setting, link))
    }

    /// nil if there is no such setting or link.
    public static func value(_ setting: String, of link: String) -> String? {
        // A link's name may hold a dot, but no slash: it is one part of the path.
        link.contains("/") ? nil : try? FileSystem.text(of: path(setting, link))
    }
}
