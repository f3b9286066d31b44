import Linux

/// Finds the devices the kernel has found.
enum DeviceScan {
    /// Every `modalias` below /sys/devices: what each device calls for in a driver.
    static func aliases(below root: String = "/sys/devices") -> [String] {
        var aliases: Set<String> = []
        var pending = [root]
        while let directory = pending.popLast() {
            guard let entries = try? FileSystem.entries(in: directory) else { continue }
            for (name, kind) in entries {
                let path = "\(directory)/\(name)"
                if name == "modalias" {
                    // A device may go while it is looked at.
                    if let alias = try? FileSystem.text(of: path), !alias.isEmpty { aliases.insert(alias) }
                } else if kind == .directory {
                    pending.append(path)
                }
            }
        }
        return aliases.sorted()
    }

    /// The CPU's vendor as it calls itself, such as `AuthenticAMD`.
    static func processorVendor() -> String? {
        guard let text = try? readFile("/proc/cpuinfo") else { return nil }
        for line in text.split(separator: 10) where line.starts(with: "vendor_id".utf8) {
            return line.split(separator: 32).last.map { String(decoding: $0, as: UTF8.self) }
        }
        return nil
    }
}
