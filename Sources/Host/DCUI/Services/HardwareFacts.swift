import Linux

/// What the kernel tells about the server.
struct HardwareFacts: Sendable {
    /// Texts of files in /proc and /sys; empty for one that cannot be read.
    var text: @Sendable (_ path: String) -> String
    /// Names in a directory.
    var names: @Sendable (_ path: String) -> [String]
    /// What the processor says of itself; the kernel's flags leave virtualization out where the firmware has switched it off.
    var hasVirtualization: @Sendable () -> Bool

    /// Those of this machine.
    static let kernel = HardwareFacts(
        text: { path in (try? readFile(path, limit: 4 << 20)).map { String(decoding: $0, as: UTF8.self) } ?? "" },
        names: { path in (try? listDirectory(path)) ?? [] }, hasVirtualization: { Processor.hasVirtualisation })

    var observation: HardwareObservation {
        var hardware = HardwareObservation()
        hardware.maker = firmware("sys_vendor")
        hardware.model = firmware("product_name")
        hardware.serialNumber = firmware("product_serial")
        readProcessors(&hardware)
        hardware.memory = memory
        return hardware
    }

    /// Seconds since the kernel started (proc(5), /proc/uptime).
    var uptime: UInt64? {
        text("/proc/uptime").split(separator: ".").first.flatMap { UInt64($0) }
    }

    /// A text of the firmware's SMBIOS tables, as the kernel gives it; what makers leave in unfilled fields counts as nothing.
    private func firmware(_ name: String) -> String {
        let value = trimmed(text("/sys/class/dmi/id/\(name)"))
        let unfilled = [
            "to be filled by o.e.m.", "not specified", "default string", "none", "system serial number", "unknown",
        ]
        return unfilled.contains(value.lowercased()) ? "" : value
    }

    private func trimmed(_ text: String) -> String {
        text.split { $0 == "\n" || $0 == " " || $0 == "\0" }.joined(separator: " ")
    }

    /// /proc/cpuinfo of x86 (proc(5)): a block for each thread.
    private func readProcessors(_ hardware: inout HardwareObservation) {
        var threads = 0
        var packages: Set<Substring> = []
        var cores: Set<String> = []
        var package: Substring = "0"
        for line in text("/proc/cpuinfo").split(separator: "\n") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let name = line[..<colon].split { $0 == " " || $0 == "\t" }.joined(separator: " ")
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            switch name {
            case "processor":
                threads += 1
                package = "0"
            case "model name": if hardware.processor.isEmpty { hardware.processor = String(value) }
            case "physical id":
                package = value
                packages.insert(value)
            case "core id": cores.insert("\(package)/\(value)")
            default: break
            }
        }
        hardware.threads = max(1, threads)
        hardware.packages = max(1, packages.count)
        hardware.cores = cores.isEmpty ? hardware.threads : cores.count
        // The kernel's hypervisor gives no device where the firmware has switched virtualization off.
        if names("/sys/class/misc").contains("kvm") {
            hardware.virtualization = .available
        } else {
            hardware.virtualization = hasVirtualization() ? .offInFirmware : .missing
        }
    }

    /// In bytes: what is plugged in, by the kernel's memory blocks (Documentation/ABI/testing/sysfs-devices-memory); else what it
    /// has left after its own needs.
    private var memory: UInt64 {
        let directory = "/sys/devices/system/memory"
        let blocks = names(directory).filter { $0.hasPrefix("memory") && UInt32($0.dropFirst(6)) != nil }.count
        if let size = UInt64(trimmed(text("\(directory)/block_size_bytes")), radix: 16), blocks > 0 {
            let (bytes, overflows) = size.multipliedReportingOverflow(by: UInt64(blocks))
            if !overflows { return bytes }
        }
        return (MemoryTable.total(text("/proc/meminfo")) ?? 0) &<< 10
    }
}
