import DeviceModel
import VMXConfig
import VMXControl

/// Plugs devices into and out of a running machine, as the control socket asks. Nothing is written to the `.vmx` file:
/// that is the business of who manages it.
struct HotPlug {
    let configuration: MachineConfiguration
    let builder: MachineBuilder
    let machine: Machine
    let devices: DeviceManager

    /// Plugs in the device that the settings describe, on top of what the `.vmx` file says.
    func attach(_ settings: [ControlRequest.Setting]) throws(ControlReply.Refusal) {
        let described = try describe(settings)
        let prefixes = Set(settings.compactMap { Self.prefix(of: $0.key) })
        guard prefixes.count == 1, let name = prefixes.first else {
            throw .init(.badRequest, "settings must describe one device, such as scsi0:1 or ethernet1")
        }
        if devices.device(name) != nil { throw .init(.badState, "\(name) is plugged in already") }
        let device: MachineDevice
        do throws(StartFailure) {
            if let disk = described.disks.first(where: { "\($0.address)" == name }) {
                device = try builder.makeDisk(disk, in: machine, devices)
            } else if let card = described.networkCards.first(where: { "ethernet\($0.number)" == name }) {
                device = try builder.makeCard(card, in: machine)
            } else {
                throw ControlReply.Refusal(.notSupported, "\(name) is not a disk or network card").asStartFailure
            }
        } catch { throw .init(.badDevice, "\(error)") }
        do throws(PCIError) { try devices.attach(device) } catch {
            device.function?.close()
            device.takeOff?()
            device.release()
            throw .init(.failed, "\(name): \(error)")
        }
    }

    /// Asks the guest to let go of a device.
    func detach(_ name: String) throws(ControlReply.Refusal) {
        guard let device = devices.device(name) else { throw .init(.notFound, "there is no device \(name)") }
        guard devices.requestDetach(device) else { throw .init(.notSupported, "\(name) cannot be pulled out") }
    }

    /// The configuration with the settings, and with what a new disk or card needs besides if they do not say it.
    private func describe(_ settings: [ControlRequest.Setting]) throws(ControlReply.Refusal) -> MachineConfiguration {
        do throws(ConfigurationError) {
            var document = try VMXDocument.load(configuration.file)
            for setting in settings {
                let hasController = Self.controller(of: setting.key).map { document["\($0).present"] != nil } ?? false
                for (key, value) in Self.implied(by: setting.key) where document[key] == nil {
                    // A controller that is there is what the file says, also by saying nothing.
                    if hasController && key.hasSuffix(".virtualDev") { continue }
                    try document.set(key, to: value)
                }
            }
            for setting in settings { try document.set(setting.key, to: setting.value) }
            return try MachineConfiguration(document, newUUID: configuration.uuid)
        } catch { throw .init(.badDevice, "\(error)") }
    }

    /// `scsi0:1` of `scsi0:1.fileName`.
    private static func prefix(of key: String) -> String? {
        key.firstIndex(of: ".").map { key[..<$0].lowercased() }
    }

    /// `scsi0` of `scsi0:1.fileName`.
    private static func controller(of key: String) -> Substring? {
        prefix(of: key).flatMap { prefix in prefix.firstIndex(of: ":").map { prefix[..<$0] } }
    }

    private static func implied(by key: String) -> [(String, String)] {
        guard let prefix = prefix(of: key) else { return [] }
        if let colon = prefix.firstIndex(of: ":") {
            let controller = prefix[..<colon]
            return [
                ("\(prefix).present", "TRUE"), ("\(controller).present", "TRUE"),
                ("\(controller).virtualDev", "wafer-virtio"),
            ]
        }
        return [("\(prefix).present", "TRUE"), ("\(prefix).virtualDev", "wafer-virtio")]
    }
}

extension ControlReply.Refusal {
    fileprivate var asStartFailure: StartFailure { StartFailure(.configuration, text) }
}
