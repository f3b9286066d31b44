import HostLink
import Linux

/// What is wrong with a host's hardware, for a person who does not read kernel logs.
struct DeviceReport {
    /// Where the kernel shows its devices; another place in tests.
    var root = "/sys"

    /// Controllers that no driver has taken.
    func withoutDriver() -> [String] { pci() + usb() }

    private func pci() -> [String] {
        let directory = "\(root)/bus/pci/devices"
        return ((try? listDirectory(directory)) ?? []).sorted().compactMap { name in
            let path = "\(directory)/\(name)"
            guard FileSystem.status(of: "\(path)/driver") == nil, let kind = Self.kind(pciClass: text("\(path)/class"))
            else { return nil }
            return
                "The \(kind) \(identifier(path, "vendor", "device")) in slot \(name) has no driver: it cannot be used."
        }
    }

    /// Only the classes that are meant for everybody: who makes a class of his own tells nobody what it is.
    private func usb() -> [String] {
        let directory = "\(root)/bus/usb/devices"
        return ((try? listDirectory(directory)) ?? []).sorted().compactMap { name in
            guard let colon = name.firstIndex(of: ":"), FileSystem.status(of: "\(directory)/\(name)/driver") == nil,
                let kind = Self.kind(usbClass: text("\(directory)/\(name)/bInterfaceClass"))
            else { return nil }
            let device = "\(directory)/\(name[..<colon])"
            return "The USB \(kind) \(identifier(device, "idVendor", "idProduct")) has no driver: it cannot be used."
        }
    }

    private func text(_ path: String) -> String { (try? FileSystem.text(of: path)) ?? "" }

    private func identifier(_ path: String, _ vendor: String, _ device: String) -> String {
        [vendor, device].map { name in
            let value = text("\(path)/\(name)")
            return value.hasPrefix("0x") ? String(value.dropFirst(2)) : value
        }.joined(separator: ":")
    }

    /// Base classes 01h and 02h of the PCI Code and ID Assignment Specification, sections 1.2 and 1.3; the kernel writes a class
    /// as `0x010601`.
    static func kind(pciClass: String) -> String? {
        if pciClass.hasPrefix("0x01") { return "storage controller" }
        return pciClass.hasPrefix("0x02") ? "network card" : nil
    }

    /// USB-IF defined class codes: 08h mass storage, 02h communications, E0h wireless controllers are left out.
    static func kind(usbClass: String) -> String? {
        switch usbClass {
        case "08": "storage device"
        case "02": "network adapter"
        default: nil
        }
    }

    /// Whether there is any disk that stays: no memory disk, no drive for media, no stick.
    func hasDisk() -> Bool {
        ((try? listDirectory("\(root)/block")) ?? []).contains { name in
            fileExists("\(root)/block/\(name)/device") && text("\(root)/block/\(name)/removable") != "1"
                && !name.hasPrefix("sr")
        }
    }

    /// Whether there is any network card that has a driver.
    func hasNetworkCard() -> Bool {
        ((try? listDirectory("\(root)/class/net")) ?? []).contains { fileExists("\(root)/class/net/\($0)/device") }
    }

    /// Sentences about everything, by topic.
    func all(hasKVM: Bool, hasVirtualisation: Bool) -> [(topic: HostWarning.Topic, texts: [String])] {
        var processor: [String] = []
        if !hasKVM {
            processor =
                hasVirtualisation
                ? ["Hardware virtualisation is turned off in this server's firmware: virtual machines cannot run."]
                : ["This server's processor has no hardware virtualisation: virtual machines cannot run."]
        }
        return [
            (.processor, processor),
            (.drivers, withoutDriver()),
            (.disks, hasDisk() ? [] : ["This server has no disk that virtual machines could be kept on."]),
            (
                .network,
                hasNetworkCard() ? [] : ["This server has no network card that works: it cannot be managed remotely."]
            ),
        ]
    }
}
