/// How the console says things that are numbers or words of a service elsewhere.
enum Wording {
    static func origin(_ origin: AddressObservation.Origin) -> String {
        switch origin {
        case .dhcp: "DHCP"
        case .fixed: "fixed"
        case .automatic: "automatic"
        case .linkLocal: "link-local"
        }
    }

    static func power(_ power: MachineObservation.Power) -> String {
        switch power {
        case .off: "Off"
        case .starting: "Starting"
        case .running: "On"
        case .paused: "Paused"
        case .stopping: "Stopping"
        case .suspended: "Suspended"
        }
    }

    static func vlan(_ number: UInt16) -> String {
        switch number {
        case 0: "None"
        case 4095: "All"
        default: "\(number)"
        }
    }

    static func duration(_ seconds: UInt32) -> String {
        if seconds % 60 != 0 { return "\(seconds) seconds" }
        return seconds == 60 ? "1 minute" : "\(seconds / 60) minutes"
    }

    static func uptime(_ seconds: UInt64) -> String {
        let days = seconds / 86_400
        let hours = seconds / 3600 % 24
        let minutes = seconds / 60 % 60
        if days > 0 { return "\(days) d \(hours) h" }
        return hours > 0 ? "\(hours) h \(minutes) min" : "\(minutes) min"
    }

    static func mebibytes(_ count: UInt64) -> String {
        count >= 1024 && count % 512 == 0 ? tenths(count &* 10 / 1024, "GiB") : "\(count) MiB"
    }

    /// Bytes as GiB with one decimal, or as MiB if there is less.
    static func bytes(_ count: UInt64) -> String {
        let mebibytes = count >> 20
        return mebibytes < 1024 ? "\(mebibytes) MiB" : tenths((mebibytes * 10 + 512) / 1024, "GiB")
    }

    private static func tenths(_ tenths: UInt64, _ unit: String) -> String {
        tenths % 10 == 0 ? "\(tenths / 10) \(unit)" : "\(tenths / 10).\(tenths % 10) \(unit)"
    }

    static func count(_ count: Int, _ one: String, _ many: String) -> String { "\(count) \(count == 1 ? one : many)" }

    static func virtualization(_ state: HardwareObservation.Virtualization) -> String {
        switch state {
        case .available: "available"
        case .offInFirmware: "off in the firmware setup"
        case .missing: "not available"
        }
    }

    /// A processor's name without the signs and padding that makers put in.
    static func processor(_ name: String) -> String {
        var words = name.split(separator: " ").map(String.init)
        words = words.map { word in
            var word = word
            for mark in ["(R)", "(r)", "(TM)", "(tm)"] {
                while let range = word.firstRange(of: mark) { word.removeSubrange(range) }
            }
            return word
        }
        return words.filter { !$0.isEmpty }.joined(separator: " ")
    }
}
