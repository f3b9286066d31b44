public import Linux

/// The kernel's links as they are.
public struct ActualNetwork: Equatable, Sendable {
    public var links: [NetworkLink] = []
    /// Of bridges' ports, by their numbers.
    public var vlans: [UInt32: PortVLANs] = [:]
    /// Names of links on which the host has IPv6 switched on.
    public var ipv6: Set<String> = []

    public init() {}

    /// Looks at the calling thread's network.
    public init(_ network: inout NetworkConfiguration) throws(SystemError) {
        links = try network.links()
        // Nothing has VLANs where the kernel cannot keep them apart.
        vlans = (try? network.portVLANs()) ?? [:]
        ipv6 = Set(links.map(\.name).filter { IPv6Setting.value("disable_ipv6", of: $0) == "0" })
    }

    public func link(_ name: String) -> NetworkLink? { links.first { $0.name == name } }

    public func name(_ index: UInt32) -> String? { links.first { $0.index == index }?.name }

    /// The uplinks that virtual switches have now, by the switches' names: ports that are hardware, or a bond's ports.
    public func uplinks(of bridges: [String: String], adapters: Set<String>) -> [String: [String]] {
        var result: [String: [String]] = [:]
        for (virtualSwitch, bridge) in bridges {
            guard let bridge = link(bridge) else { continue }
            let ports = links.filter { $0.master == bridge.index }
            let bonds = Set(ports.filter { $0.kind == "bond" }.map(\.index))
            result[virtualSwitch] = links.filter {
                adapters.contains($0.name) && ($0.master == bridge.index || bonds.contains($0.master))
            }.map(\.name)
        }
        return result
    }
}
