import Addresses
import HostModel
import Linux
import VSwitch

/// Tells physical adapters from other links, and what is known about them.
protocol AdapterDiscovery {
    /// The adapters among the links. `known` is what the settings say of adapters.
    func adapters(among links: [NetworkLink], known: [AdapterSettings]) -> [Adapter]
    /// Its driver's name, and maker and device by number; empty where unknown.
    func hardware(of link: String) -> (driver: String, numbers: String)
    /// Mbit/s and whether both ways at once; nil without a link.
    func speed(of link: String) -> (megabits: UInt32, isFullDuplex: Bool)?
}

/// Reads /sys (Documentation/ABI/testing/sysfs-class-net).
struct SysfsDiscovery: AdapterDiscovery {
    func adapters(among links: [NetworkLink], known: [AdapterSettings]) -> [Adapter] {
        links.compactMap { link in
            // Hardware has a device behind it and was not made by anybody.
            guard link.kind == nil, link.device != nil, let current = link.macAddress else { return nil }
            let bus = Self.bus(of: link.name) ?? link.device ?? ""
            var address = link.permanentMACAddress ?? current
            if link.permanentMACAddress == nil {
                // A driver that does not tell: the present address may be one of ours, so the settings know better.
                let entry = known.first { $0.bus == bus && !bus.isEmpty }
                address = entry.flatMap { MACAddress(text: $0.macAddress) } ?? current
            }
            return Adapter(link: link.name, macAddress: address, bus: bus, hasLink: link.hasCarrier)
        }
    }

    /// The last part of the device's path that is a PCI address, for that one lasts; else the last part.
    static func bus(of link: String) -> String? {
        guard let path = try? absolutePath("/sys/class/net/\(link)/device") else { return nil }
        let parts = path.split(separator: "/")
        return (parts.last(where: isPCIAddress) ?? parts.last).map(String.init)
    }

    /// `0000:03:00.0`: domain, bus, device, function.
    private static func isPCIAddress(_ text: Substring) -> Bool {
        let parts = text.split(whereSeparator: { $0 == ":" || $0 == "." })
        return parts.count == 4 && text.utf8.count >= 12 && parts.allSatisfy { UInt32($0, radix: 16) != nil }
    }

    func hardware(of link: String) -> (driver: String, numbers: String) {
        let device = "/sys/class/net/\(link)/device"
        let driver = (try? FileSystem.linkTarget("\(device)/driver")).map { Files.name(of: $0) } ?? ""
        // Of a virtio device, its PCI function's.
        for folder in [device, "\(device)/.."] {
            guard let vendor = try? FileSystem.text(of: "\(folder)/vendor"),
                let number = try? FileSystem.text(of: "\(folder)/device"), vendor.hasPrefix("0x"),
                number.hasPrefix("0x"),
                fileExists("\(folder)/class")
            else { continue }
            return (driver, "\(vendor.dropFirst(2)):\(number.dropFirst(2))")
        }
        return (driver, "")
    }

    func speed(of link: String) -> (megabits: UInt32, isFullDuplex: Bool)? {
        // -1 where the driver does not know; an error while the link is down.
        guard let text = try? FileSystem.text(of: "/sys/class/net/\(link)/speed"), let megabits = UInt32(text) else {
            return nil
        }
        return (megabits, (try? FileSystem.text(of: "/sys/class/net/\(link)/duplex")) == "full")
    }
}
