import Addresses
import HostLink
import Linux
import NetworkService

/// `wafer net`: asks the network agent, for people and scripts.
public enum NetworkCommand {
    private static let usage = """
        usage: wafer net status              adapters, virtual switches, addresses, names
               wafer net ping TARGET         sends three echo requests
               wafer net resolve NAME        looks a name or an address up
               wafer net renew               asks DHCP servers anew
               wafer net connect TAP PORTGROUP
                                             connects a virtual machine's tap
               wafer net confirm             keeps network settings that are on trial

        """

    public static func run(_ arguments: [String]) -> Int32 {
        do throws(ServiceError) {
            switch (arguments.first, arguments.count) {
            case ("status", 1):
                writeToStandardOutput(text(try client().ask(GetNetworkStatus())))
            case ("ping", 2):
                let result = try client().ask(Ping(arguments[1], count: 3), milliseconds: 30_000)
                if !result.problem.isEmpty { writeToStandardOutput("\(result.problem)\n") }
                writeToStandardOutput(
                    "\(result.received) of \(result.sent) answered, \(result.averageMicroseconds) microseconds\n")
                return result.received > 0 ? 0 : 1
            case ("resolve", 2):
                let names = try client().ask(Resolve(arguments[1]), milliseconds: 60_000)
                writeToStandardOutput(names.map { "\($0)\n" }.joined())
            case ("renew", 1): _ = try client().ask(RenewLeases())
            case ("connect", 3): _ = try client().ask(ConnectPort(portGroup: arguments[2], tap: arguments[1]))
            case ("confirm", 1): _ = try client().ask(ConfirmTrial())
            case ("--help", 1), ("-h", 1): writeToStandardOutput(usage)
            default:
                writeToStandardError(usage)
                return 64
            }
            return 0
        } catch {
            writeToStandardError("wafer net: \(error)\n")
            return 1
        }
    }

    private static func client() throws(ServiceError) -> ServiceClient { try ServiceClient(ServiceAddress.network) }

    /// A status for people.
    static func text(_ status: NetworkStatus) -> String {
        var lines = ["host        \(status.hostName)\(status.isHostNameFromDHCP ? " (by DHCP)" : "")"]
        for adapter in status.adapters {
            let link =
                adapter.hasLink
                ? adapter.speed > 0
                    ? "\(adapter.speed) Mbit/s\(adapter.isFullDuplex ? " full duplex" : "")" : "connected"
                : "disconnected"
            let use =
                adapter.virtualSwitch.isEmpty
                ? "unused" : "\(adapter.virtualSwitch), \(adapter.isActive ? "active" : "standing by")"
            lines.append(
                "\(padded(adapter.name)) \(adapter.macAddress) \(adapter.bus) \(adapter.driver): \(link), \(use)")
        }
        for virtualSwitch in status.switches {
            let uplinks = virtualSwitch.uplinks.isEmpty ? "no uplinks" : virtualSwitch.uplinks.joined(separator: " ")
            lines.append("\(padded(virtualSwitch.name)) MTU \(virtualSwitch.mtu), \(uplinks)")
            for group in virtualSwitch.portGroups {
                let ports = group.ports.isEmpty ? "no ports" : group.ports.joined(separator: " ")
                lines.append("    \"\(group.name)\" VLAN \(group.vlan): \(ports)")
            }
        }
        for vmknic in status.vmknics {
            let address = vmknic.ipv4.map { "\($0.address)/\($0.prefix) (\(name($0.origin)))" } ?? "no IPv4 address"
            var line = "\(padded(vmknic.name)) \(vmknic.macAddress) \"\(vmknic.portGroup)\": \(address)"
            if vmknic.dhcp != .off {
                line += ", DHCP \(vmknic.dhcp)"
                if let server = vmknic.dhcpServer { line += " from \(server)" }
                if let seconds = vmknic.leaseSecondsLeft { line += " for \(seconds) s" }
            }
            lines.append(line)
            for address in vmknic.ipv6 { lines.append("            \(address.network) (\(name(address.origin)))") }
        }
        lines.append("gateway     \(status.gateway.map { "\($0)" } ?? "none")")
        let servers = status.dnsServers.map { "\($0)" }.joined(separator: " ")
        lines.append("DNS         \(servers.isEmpty ? "none" : servers)\(status.isDNSFromDHCP ? " (by DHCP)" : "")")
        if !status.searchDomains.isEmpty { lines.append("search      \(status.searchDomains.joined(separator: " "))") }
        if let seconds = status.trialSecondsLeft { lines.append("on trial    \(seconds) seconds left to confirm") }
        lines += status.problems.map { "problem     \($0)" }
        return lines.map { "\($0)\n" }.joined()
    }

    private static func padded(_ text: String) -> String {
        text + String(repeating: " ", count: max(0, 11 - text.count))
    }

    private static func name(_ origin: AddressOrigin) -> String {
        switch origin {
        case .fixed: "fixed"
        case .dhcp: "DHCP"
        case .linkLocal: "link-local"
        case .advertised: "advertised"
        }
    }
}
