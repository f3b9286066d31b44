import DeviceModel
import KVM
import Linux
import SavedState

// All of this while the machine stands still: processors parked, functions paused (`Machine.suspend`, `powerOn(restoring:)`).

extension Machine {
    private static let kernelSection = "kvm"
    private static func processorSection(_ thread: VirtualCPUThread) -> String { "cpu\(thread.vcpu.id)" }

    /// Everything of the machine but its memory.
    ///
    /// - Parameter uuid: whose state it is.
    func takeState(uuid: [UInt8]) throws(StateError) -> [StateSection] {
        try checkParts()
        // On the loop of the devices: no timer of theirs fires, and nothing comes in, between one section and the next.
        return try onDeviceLoop { machine throws(StateError) in try machine.takeSections(uuid) }
    }

    private func onDeviceLoop<Value>(
        _ work: @escaping @Sendable (Machine) throws(StateError) -> Value
    ) throws(StateError) -> Value {
        let done = Outcome<Value>()
        deviceLoop.performAndWait {
            do throws(StateError) { done.result = .success(try work(self)) } catch { done.result = .failure(error) }
        }
        guard let result = done.result else { throw .cannotSave(section: "devices", "their loop has ended") }
        return try result.get()
    }

    private final class Outcome<Value>: @unchecked Sendable {
        // @unchecked: the other thread uses it only while this one waits.
        var result: Result<Value, StateError>?
    }

    private func takeSections(_ uuid: [UInt8]) throws(StateError) -> [StateSection] {
        var sections = [SavedShape(self, uuid: uuid).encoded]
        for (name, device) in parts {
            for (suffix, part) in device.stateParts { sections.append(try StateSection(name + suffix, of: part)) }
        }
        do throws(KVMError) {
            for thread in vcpus {
                sections.append(
                    StateSection(
                        name: Self.processorSection(thread), version: VirtualCPUState.formatVersion,
                        bytes: try thread.vcpu.saveState().encoded()))
            }
            sections.append(
                StateSection(
                    name: Self.kernelSection, version: VirtualMachineState.formatVersion,
                    bytes: try virtualMachine.saveState().encoded()))
        } catch { throw .cannotSave(section: "processors", "\(error)") }
        return sections
    }

    /// Whether everything that a guest can reach is among the parts: a device that is not would be lost in silence.
    private func checkParts() throws(StateError) {
        let known = Set(parts.map { ObjectIdentifier($0.device) })
        let functions = pci.functions
        for (address, function) in functions where !known.contains(ObjectIdentifier(function)) {
            throw .cannotSave(section: "\(address)", "this device cannot be saved")
        }
        for device in ports.devices + memorySpace.devices where !known.contains(ObjectIdentifier(device)) {
            throw .cannotSave(section: "\(type(of: device))", "this device cannot be saved")
        }
        for (name, device) in parts {
            guard let function = device as? PCIFunction else { continue }
            if !functions.contains(where: { $0.function === function }) {
                throw .cannotSave(section: name, "the guest has just let go of it; try again")
            }
        }
    }

    // MARK: Restoring

    /// Becomes what the sections say. Memory is in place.
    ///
    /// - Parameter state: for this machine, as `SavedMachine` has checked.
    func restore(_ state: SavedMachine) throws(StateError) {
        try place(state.shape)
        try onDeviceLoop { machine throws(StateError) in try machine.restoreSections(state) }
        pci.remapAll()
    }

    /// Puts every function where it was: with hot-plug, not where the configuration file alone would have put it.
    private func place(_ shape: SavedShape) throws(StateError) {
        var moved: [(name: String, function: PCIFunction, address: PCIAddress)] = []
        for (present, function) in pci.functions {
            guard let name = parts.first(where: { $0.device === function })?.name,
                let place = shape.places.first(where: { $0.name == name })
            else { throw .missingSection("\(present)") }
            let address = PCIAddress(routing: place.address)
            if address != present { moved.append((name, function, address)) }
        }
        for (_, function, _) in moved {
            if let address = pci.functions.first(where: { $0.function === function })?.address { pci.unplug(address) }
        }
        for (name, function, address) in moved {
            do throws(PCIError) {
                try pci.plug(function, at: address)
            } catch { throw .mismatch(section: name, "\(error)") }
        }
    }

    private func restoreSections(_ state: SavedMachine) throws(StateError) {
        let elapsed = SavedShape.now.subtractingReportingOverflow(state.shape.wallTime)
        // A clock that was set back meanwhile says nothing.
        let nanoseconds = elapsed.overflow ? 0 : elapsed.partialValue
        try restoreProcessors(state)
        for (name, device) in parts {
            for (suffix, part) in device.stateParts {
                try state.section(name + suffix).restore(to: part, elapsed: nanoseconds)
            }
        }
    }

    private func restoreProcessors(_ state: SavedMachine) throws(StateError) {
        do throws(KVMError) {
            try virtualMachine.restoreState(state.kernel, advanceClock: true)
        } catch { throw .mismatch(section: Self.kernelSection, "\(error)") }
        for thread in vcpus {
            let name = Self.processorSection(thread)
            guard let processor = state.processors[name] else { throw .missingSection(name) }
            do throws(KVMError) {
                try thread.vcpu.restoreState(processor, advanceClock: true)
            } catch { throw .mismatch(section: name, "\(error)") }
        }
    }
}

/// A machine's saved state, taken apart and found to fit a machine.
struct SavedMachine: Sendable {
    let shape: SavedShape
    let kernel: VirtualMachineState
    let processors: [String: VirtualCPUState]
    private let sections: [String: StateSection]

    /// - Parameters:
    ///   - sections: foreign; every name once.
    ///   - machine: which they shall be for; not changed.
    init(_ sections: [StateSection], for machine: Machine, uuid: [UInt8]) throws(StateError) {
        var table: [String: StateSection] = [:]
        for section in sections where table.updateValue(section, forKey: section.name) != nil {
            throw .doubledSection(section.name)
        }
        func take(_ name: String) throws(StateError) -> StateSection {
            guard let section = table[name] else { throw .missingSection(name) }
            return section
        }
        shape = try SavedShape(try take(SavedShape.section))
        try shape.check(SavedShape(machine, uuid: uuid))
        var expected: Set<String> = [SavedShape.section, "kvm"]
        do throws(KVMError) {
            kernel = try VirtualMachineState(decoding: try Self.bytes(table, "kvm"))
            var processors: [String: VirtualCPUState] = [:]
            for thread in machine.vcpus {
                let name = "cpu\(thread.vcpu.id)"
                expected.insert(name)
                let state = try VirtualCPUState(decoding: try Self.bytes(table, name))
                try Self.check(state, thread.vcpu)
                processors[name] = state
            }
            self.processors = processors
        } catch { throw .mismatch(section: "processors", "\(error)") }
        for (name, device) in machine.parts {
            for (suffix, part) in device.stateParts {
                let section = try take(name + suffix)
                let newest = part.stateVersion ?? 0
                guard section.version > 0, section.version <= newest else {
                    throw .futureVersion(section: section.name, version: section.version, newest: newest)
                }
                expected.insert(section.name)
            }
        }
        if let name = Set(table.keys).subtracting(expected).min() { throw .unknownSection(name) }
        self.sections = table
    }

    private static func bytes(_ table: [String: StateSection], _ name: String) throws(KVMError) -> [UInt8] {
        guard let section = table[name] else { throw .badState("nothing is said of \(name)") }
        return section.bytes
    }

    /// A guest cannot lose features while it runs.
    private static func check(_ state: VirtualCPUState, _ vcpu: VirtualCPU) throws(KVMError) {
        guard state.id == vcpu.id else { throw .badState("it is that of vCPU \(state.id), not of \(vcpu.id)") }
        let missing = state.features.subtracting(CPUFeatureSet(try vcpu.cpuid()))
        guard missing.isEmpty else {
            let names = missing.features.map(\.name).joined(separator: ", ")
            throw .badState(
                "the guest uses features that its processor lacks here: \(names.isEmpty ? "unnamed ones" : names)")
        }
    }

    func section(_ name: String) throws(StateError) -> StateSection {
        guard let section = sections[name] else { throw .missingSection(name) }
        return section
    }
}
