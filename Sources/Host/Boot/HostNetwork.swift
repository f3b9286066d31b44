import Addresses
import Linux

/// The host's first network: its first adapter as uplink of a bridge that guests join.
struct HostNetwork: Equatable {
    static let bridge = "vmbr0"

    var address: IPv4Address
    var prefix: UInt8
    var gateway: IPv4Address?

    /// Reads `wafer.net=ADDRESS/PREFIX[,GATEWAY]`; nil if the text does not have that form.
    init?(_ text: String) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count) else { return nil }
        let network = parts[0].split(separator: "/", omittingEmptySubsequences: false)
        guard network.count == 2, let address = IPv4Address(network[0]), let prefix = UInt8(network[1]), prefix <= 32
        else { return nil }
        self.address = address
        self.prefix = prefix
        if parts.count == 2 {
            guard let gateway = IPv4Address(parts[1]) else { return nil }
            self.gateway = gateway
        }
    }

    /// Brings the loopback link up.
    static func bringUpLoopback() throws(SystemError) {
        var network = try NetworkConfiguration()
        try network.setUp("lo")
        // As for any other address; the kernel gives lo 127.0.0.1 by itself only through ioctl.
        try network.add(IPv4Address(127, 0, 0, 1), prefix: 8, to: "lo")
    }

    /// Names physical adapters vmnic0, vmnic1 …, in the order the kernel numbered them.
    ///
    /// - Returns: their names, those that were renamed before included.
    static func nameAdapters() throws(SystemError) -> [String] {
        var network = try NetworkConfiguration()
        var adapters: [(number: Int, name: String)] = []
        for name in try listDirectory("/sys/class/net") where fileExists("/sys/class/net/\(name)/device") {
            let digits = name.utf8.reversed().prefix { (48...57).contains($0) }.reversed()
            guard let number = Int(String(decoding: digits, as: UTF8.self)) else { continue }
            if name.hasPrefix("eth") {
                try network.rename(name, to: "vmnic\(number)")
                adapters.append((number, "vmnic\(number)"))
            } else if name.hasPrefix("vmnic") {
                adapters.append((number, name))
            }
        }
        return adapters.sorted { $0.number < $1.number }.map(\.name)
    }

    /// Makes the bridge with this adapter as its uplink.
    static func makeBridge(uplink: String) throws(SystemError) {
        var network = try NetworkConfiguration()
        do { try network.addBridge(bridge) } catch  where error.isExisting {}
        try network.setMaster(of: uplink, to: bridge)
        try network.setUp(uplink)
        try network.setUp(bridge)
    }

    /// Gives the bridge its address.
    func apply() throws(SystemError) {
        var network = try NetworkConfiguration()
        try network.add(address, prefix: prefix, to: Self.bridge)
        if let gateway { try network.setDefaultGateway(gateway) }
    }
}
