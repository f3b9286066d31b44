import Addresses
import HostModel

/// What the kernel's command line says about the network: `wafer.net=ADDRESS/PREFIX[,GATEWAY]`, `wafer.net=dhcp` or
/// `wafer.net=none`. It goes before the settings and is not kept.
enum AddressOverride: Equatable {
    /// No virtual switches and no addresses.
    case none
    case dhcp
    case fixed(IPv4Address, prefix: UInt8, gateway: IPv4Address?)

    /// - Returns: nil if the text does not have one of these forms.
    init?(_ text: String) {
        if text == "none" {
            self = .none
            return
        }
        if text == "dhcp" {
            self = .dhcp
            return
        }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count) else { return nil }
        let network = parts[0].split(separator: "/", omittingEmptySubsequences: false)
        guard network.count == 2, network[1].utf8.allSatisfy({ (48...57).contains($0) }),
            let address = IPv4Address(network[0]), let prefix = UInt8(network[1]), prefix <= 32
        else { return nil }
        var gateway: IPv4Address?
        if parts.count == 2 {
            guard let given = IPv4Address(parts[1]) else { return nil }
            gateway = given
        }
        self = .fixed(address, prefix: prefix, gateway: gateway)
    }

    /// The settings with this in them: the first management port gets the address.
    func apply(to settings: NetworkSettings) -> NetworkSettings {
        var result = settings
        switch self {
        case .none:
            result.switches = []
            result.portGroups = []
            result.vmknics = []
        case .dhcp:
            if let index = result.vmknics.firstIndex(where: \.isManagement) { result.vmknics[index].ipv4 = .dhcp }
        case .fixed(let address, let prefix, let gateway):
            guard let index = result.vmknics.firstIndex(where: \.isManagement) else { return result }
            result.vmknics[index].ipv4 = .fixed
            result.vmknics[index].address = address
            result.vmknics[index].prefix = UInt16(prefix)
            result.vmknics[index].gateway = gateway
        }
        return result
    }
}
