/// The virtual machines of a host: those in its settings, and those whose files were found on its disks.
public struct Inventory: Sendable {
    /// Machines by file.
    public private(set) var machines: [String: InventoryMachine] = [:]

    public init() {}

    /// In the order that people read: by name, then by file.
    public var sorted: [InventoryMachine] {
        machines.values.sorted { ($0.name.lowercased(), $0.file) < ($1.name.lowercased(), $1.file) }
    }

    public subscript(file: String) -> InventoryMachine? { machines[file] }

    /// A `.vmx` file that was looked at.
    public struct Found: Equatable, Sendable {
        public var file: String
        public var description: MachineDescription
        public var problems: [String]

        public init(file: String, description: MachineDescription, problems: [String] = []) {
            self.file = file
            self.description = description
            self.problems = problems
        }
    }

    /// What is different after a change, for those who watch.
    public struct Difference: Equatable, Sendable {
        /// New or changed, by file.
        public var changed: [String] = []
        public var removed: [String] = []

        public init() {}
        public var isEmpty: Bool { changed.isEmpty && removed.isEmpty }
    }

    /// Makes the list be what settings and disks say.
    ///
    /// A machine that runs stays, whether or not its file is still there: it must remain in reach. What a machine does is
    /// not touched.
    ///
    /// - Parameter found: the files that were looked at: all on disks, and each that settings name. Nil: as at the last time.
    public mutating func update(registered: [RegisteredMachine], found: [Found]?) -> Difference {
        let before = machines
        var descriptions: [String: Found] = [:]
        for one in found ?? [] { descriptions[one.file] = one }
        if let found {
            let files = Set(found.map(\.file))
            machines = machines.filter { files.contains($0.key) || $0.value.power.isOn }
        }
        for (file, one) in descriptions {
            var machine = machines[file] ?? InventoryMachine(file: file, description: one.description)
            machine.description = one.description
            machine.problems = one.problems
            machine.settlePower()
            machines[file] = machine
        }
        for file in Array(machines.keys) {
            let entry = registered.first { $0.file == file }
            machines[file]?.isRegistered = entry != nil
            machines[file]?.startOrder = entry?.startOrder
            machines[file]?.startDelay = entry?.startDelay
            machines[file]?.stopAction = entry?.stopAction
        }
        for entry in registered where machines[entry.file] == nil {
            // Named by settings, and not looked at yet, or its disk is not there.
            var machine = InventoryMachine(
                file: entry.file, description: MachineDescription(displayName: Self.name(ofFile: entry.file)))
            machine.problems = ["\(entry.file) is not there; its disk may be missing"]
            machine.isRegistered = true
            machine.startOrder = entry.startOrder
            machine.startDelay = entry.startDelay
            machine.stopAction = entry.stopAction
            machines[entry.file] = machine
        }
        return difference(from: before)
    }

    /// Changes what one machine does.
    ///
    /// - Returns: whether that made a difference.
    public mutating func change(_ file: String, _ edit: (inout InventoryMachine) -> Void) -> Bool {
        guard var machine = machines[file] else { return false }
        edit(&machine)
        machine.file = file
        machine.settlePower()
        guard machine != machines[file] else { return false }
        machines[file] = machine
        return true
    }

    private func difference(from before: [String: InventoryMachine]) -> Difference {
        var difference = Difference()
        difference.changed = machines.keys.filter { machines[$0] != before[$0] }.sorted()
        difference.removed = before.keys.filter { machines[$0] == nil }.sorted()
        return difference
    }

    /// What a machine is called whose file cannot be read: the file's name without `.vmx`.
    public static func name(ofFile path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        return name.hasSuffix(".vmx") && name.count > 4 ? String(name.dropLast(4)) : name
    }
}
