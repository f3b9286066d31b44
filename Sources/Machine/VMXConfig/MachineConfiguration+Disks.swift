extension MachineConfiguration {
    /// Reads every present disk and what it hangs on.
    static func readDisks(_ reader: inout ConfigurationReader) -> [Disk] {
        var disks: [Disk] = []
        for kind in ControllerKind.allCases where reader.devices.contains(where: { $0.hasPrefix(kind.rawValue) }) {
            for bus in 0..<kind.busCount {
                let controller = "\(kind.rawValue)\(bus)"
                let found = kind.units.compactMap { unit in
                    readUnit(DiskAddress(kind, bus, unit), &reader)
                }
                readController(controller, kind: kind, disks: found, into: &disks, &reader)
            }
        }
        refuseImpossibleDevices(&reader)
        var owners: [String: DiskAddress] = [:]
        for disk in disks where !disk.isReadOnly {
            if let owner = owners[disk.path] {
                reader.fail("\(disk.address).fileName", "\(quoted(disk.path)) is the disk of \(owner) too")
            }
            owners[disk.path] = disk.address
        }
        return disks
    }

    /// Reads one unit; its controller is filled in later. Nil if there is no disk.
    private static func readUnit(_ address: DiskAddress, _ reader: inout ConfigurationReader) -> Disk? {
        let name = address.description
        guard reader.devices.contains(name) else { return nil }
        let present = reader.boolean("\(name).present")
        guard present == true else {
            if present == nil, reader.text("\(name).fileName") != nil {
                reader.warn("\(name).fileName", "is left out because \(name).present is not TRUE")
            }
            reader.knowAll(of: name)
            return nil
        }
        if address.kind == .scsi, address.unit == 7 {
            reader.fail("\(name).present", "unit 7 belongs to the controller itself")
        }
        let type = reader.text("\(name).deviceType")?.lowercased() ?? "disk"
        switch type {
        case "disk", "harddisk", "scsi-harddisk", "ata-harddisk": break
        case "cdrom-image": return readOptical(address, path: reader.path("\(name).fileName"), &reader)
        case "cdrom-raw", "atapi-cdrom":
            reader.warn("\(name).deviceType", "the host's own CD drives are not supported; the drive is empty")
            reader.know("\(name).fileName")
            return readOptical(address, path: nil, &reader)
        default:
            reader.fail("\(name).deviceType", "the device type \(quoted(type)) is not supported yet")
            reader.knowAll(of: name)
            return nil
        }
        let path = reader.path("\(name).fileName")
        if path == nil { reader.fail("\(name).fileName", "is missing") }
        let mode = reader.choice("\(name).mode", DiskMode.self) ?? .persistent
        if mode == .independentNonpersistent {
            reader.fail("\(name).mode", "\"\(mode.rawValue)\" is not supported yet")
        }
        return Disk(
            address: address, controller: .virtio, path: path ?? "", mode: mode,
            writeThrough: reader.boolean("\(name).writeThrough") ?? false,
            isReadOnly: reader.boolean("\(name).wafer.readOnly") ?? false,
            direct: reader.boolean("\(name).wafer.direct") ?? true,
            discard: reader.boolean("\(name).wafer.discard") ?? true,
            queueCount: reader.whole("\(name).wafer.queues", of: "queues", in: 1...64),
            line: reader.document.line(of: "\(name).fileName"))
    }

    /// Reads an optical drive, which may be empty.
    private static func readOptical(
        _ address: DiskAddress, path: String?, _ reader: inout ConfigurationReader
    ) -> Disk? {
        let name = address.description
        guard address.kind != .nvme else {
            reader.warn("\(name).deviceType", "nvme controllers have no CD drives; the drive is left out")
            reader.knowAll(of: name)
            return nil
        }
        let isConnected = reader.boolean("\(name).startConnected") ?? true
        return Disk(
            address: address, controller: .ahci, medium: .optical, path: isConnected ? path ?? "" : "",
            mode: .independentPersistent, writeThrough: false, isReadOnly: true, direct: false, discard: false,
            queueCount: nil, line: reader.document.line(of: "\(name).fileName"))
    }

    /// Reads a controller and gives its disks to the machine.
    private static func readController(
        _ name: String, kind: ControllerKind, disks found: [Disk], into disks: inout [Disk],
        _ reader: inout ConfigurationReader
    ) {
        // VMware's files name no IDE controller: every machine has them.
        let present = reader.boolean("\(name).present") ?? (kind == .ide)
        guard kind == .scsi else {
            reader.knowAll(of: name)
            for var disk in found {
                if !present {
                    reader.fail("\(disk.address).present", "its controller is missing: \(name).present is not TRUE")
                }
                disk.controller = kind == .nvme ? .nvme : .ahci
                disks.append(disk)
            }
            return
        }
        let isNamed = reader.text("\(name).virtualDev") != nil
        let named = reader.choice("\(name).virtualDev", DiskController.self)
        // Without a name it is the one that VMware gives most systems.
        let controller = isNamed ? named : .lsilogic
        let sharing = reader.text("\(name).sharedBus")?.lowercased() ?? "none"
        guard present else {
            reader.knowAll(of: name)
            for disk in found {
                reader.fail("\(disk.address).present", "its controller is missing: \(name).present is not TRUE")
            }
            return
        }
        if sharing != "none" { reader.fail("\(name).sharedBus", "\(quoted(sharing)) is not supported yet") }
        // An unknown name was already reported.
        guard let controller else { return }
        guard controller.isSupported, controller.isSCSI else {
            let message = "the controller \"\(controller.rawValue)\" is not supported; use \"lsilogic\""
            if found.isEmpty {
                reader.warn("\(name).virtualDev", message)
            } else {
                reader.fail("\(name).virtualDev", message)
            }
            return
        }
        for var disk in found {
            disk.controller = controller
            if controller == .virtio, disk.medium == .optical {
                reader.warn(
                    "\(disk.address).deviceType", "\"\(controller.rawValue)\" has no CD drives; the drive is left out")
            } else {
                disks.append(disk)
            }
        }
    }

    /// Says which present devices cannot be: `scsi4`, `scsi0:16`, `ethernet10`, `serial4`.
    private static func refuseImpossibleDevices(_ reader: inout ConfigurationReader) {
        for device in reader.devices.sorted() {
            let kind = String(device.prefix { $0.isASCII && !$0.isNumber })
            let numbers = device.dropFirst(kind.count).split(separator: ":", omittingEmptySubsequences: false)
                .map { Int($0) ?? -1 }
            let isPossible: Bool
            if let disk = ControllerKind(rawValue: kind), let bus = numbers.first, numbers.count <= 2 {
                isPossible =
                    (0..<disk.busCount).contains(bus) && (numbers.count == 1 || disk.units.contains(numbers[1]))
            } else if kind == "ethernet", numbers.count == 1 {
                isPossible = (0..<10).contains(numbers[0])
            } else if kind == "serial", numbers.count == 1 {
                isPossible = (0..<4).contains(numbers[0])
            } else {
                continue
            }
            guard !isPossible else { continue }
            if reader.boolean("\(device).present") == true {
                reader.fail("\(device).present", "there is no such place for a device")
            }
            reader.knowAll(of: device)
        }
    }
}
