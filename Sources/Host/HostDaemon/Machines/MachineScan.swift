import HostModel
import Linux
import VMXConfig
import VMXControl

/// Looks for `.vmx` files on the host's disks. Reads disks, which may take its time: not on a loop.
enum MachineScan {
    /// How many directories below a root are looked into: disk, folder, machine.
    static let depthMax = 3
    /// Names looked at before giving up: no disk makes the agent busy for ever.
    static let entriesMax = 100_000

    /// Machines below `roots`, and those that settings name, where their files are there.
    static func scan(roots: [String], registered: [String]) -> [Inventory.Found] {
        var files = Set<String>()
        var left = entriesMax
        for root in roots { look(in: root, depth: depthMax, &left, &files) }
        for file in registered where file.hasPrefix("/") && FileSystem.status(of: file)?.kind == .file {
            files.insert(file)
        }
        return files.sorted().map(examine)
    }

    private static func look(in directory: String, depth: Int, _ left: inout Int, _ files: inout Set<String>) {
        guard let entries = try? FileSystem.entries(in: directory) else { return }
        for (name, reported) in entries {
            left -= 1
            guard left > 0 else { return }
            // Names with control characters are nothing that a list or a log can show.
            guard !name.hasPrefix("."), name.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f }) else {
                continue
            }
            let path = directory == "/" ? "/\(name)" : "\(directory)/\(name)"
            let kind = reported == .unknown ? FileSystem.status(of: path)?.kind ?? .unknown : reported
            if kind == .file, name.lowercased().hasSuffix(".vmx") {
                files.insert(path)
            } else if kind == .directory, depth > 0, name != "lost+found" {
                look(in: path, depth: depth - 1, &left, &files)
            }
        }
    }

    /// What one `.vmx` file says.
    static func examine(_ file: String) -> Inventory.Found {
        do {
            let configuration = try MachineConfiguration.load(file)
            var description = MachineDescription(displayName: configuration.displayName)
            description.guestOS = configuration.guestOS
            description.memory = UInt32(clamping: configuration.memoryMegabytes)
            description.processors = UInt32(clamping: configuration.processorCount)
            description.isSuspended = configuration.savedState != nil
            description.controlSocket = ControlAddress.socket(forFile: file, configured: configuration.controlSocket)
            return .init(file: file, description: description)
        } catch {
            var description = MachineDescription(displayName: Inventory.name(ofFile: file))
            description.controlSocket = ControlAddress.socket(forFile: file)
            return .init(file: file, description: description, problems: error.diagnostics.map(\.description))
        }
    }
}
