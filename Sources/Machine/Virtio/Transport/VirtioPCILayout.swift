import DeviceModel

/// Where a virtio function's registers are (virtio 1.2, section 4.1.4), laid out as QEMU does: everything in BAR 4, a
/// page for each structure so that doorbells can be mapped apart, and MSI-X in BAR 1.
///
/// The doorbells are in BAR 0 once more, as ports, and first in the list, which is the order of preference (4.1.4). A
/// processor says by itself what was written to which port, but for a write to memory KVM has to read and decode the
/// guest's instruction (always on AMD's). Drivers that know no ports for doorbells take the others.
enum VirtioPCILayout {
    static let bar = 4
    static let barSize: UInt64 = 0x4000
    static let msixBar = 1

    static let common: UInt64 = 0x0000
    static let interruptStatus: UInt64 = 0x1000
    static let device: UInt64 = 0x2000
    static let notify: UInt64 = 0x3000
    static let regionSize: UInt64 = 0x1000
    /// Distance between doorbells.
    static let notifyMultiplier: UInt64 = 4
    /// How many doorbells fit.
    static let queuesMax = Int(regionSize / notifyMultiplier)

    static let portBar = 0
    /// Distance between doorbells that are ports: the same as in memory, because SeaBIOS goes by the first capability's place and the
    /// last one's multiplier.
    static let portMultiplier: UInt64 = notifyMultiplier
    /// Devices with more queues have no ports: there are only 65 536, for all devices.
    static let portQueuesMax = 64

    /// The ports of so many queues: how many, as a BAR can have them; nil if too many.
    static func portCount(_ queues: Int) -> UInt64? {
        if queues > portQueuesMax { return nil }
        var count: UInt64 = 16
        while count < UInt64(queues) * portMultiplier { count *= 2 }
        return count
    }

    static let vendor: UInt16 = 0x1af4
    /// Added to the type gives the PCI device number.
    static let deviceBase: UInt16 = 0x1040
    /// Any number from 0x40 says "not transitional"; this is QEMU's.
    static let subsystem: UInt16 = 0x1100

    static let vendorCapability: UInt8 = 0x09

    private enum StructureType {
        static let common: UInt8 = 1
        static let notify: UInt8 = 2
        static let interruptStatus: UInt8 = 3
        static let device: UInt8 = 4
        static let configurationAccess: UInt8 = 5
    }

    /// The configuration space with its virtio capabilities.
    ///
    /// - Returns: also where the configuration access capability is.
    static func space(_ type: VirtioDeviceType, portCount: UInt64?) -> (space: PCIConfigurationSpace, access: Int) {
        var space = PCIConfigurationSpace(
            vendor: vendor, device: deviceBase &+ type.rawValue, revision: 1, classCode: type.classCode,
            subsystemVendor: vendor, subsystem: subsystem)
        space.set(PCIConfigurationSpace.Offset.interruptPin, UInt8(1))
        add(StructureType.common, common, to: &space)
        add(StructureType.interruptStatus, interruptStatus, to: &space)
        add(StructureType.device, device, to: &space)
        if let portCount {
            let multiplier = words([UInt32(portMultiplier)])
            add(StructureType.notify, 0, portCount, bar: portBar, to: &space, extra: multiplier)
        }
        add(StructureType.notify, notify, to: &space, extra: words([UInt32(notifyMultiplier)]))
        let (body, writable) = configurationAccess
        let access = space.addCapability(vendorCapability, body, writable: writable)
        return (space, access)
    }

    private static func add(
        _ type: UInt8, _ offset: UInt64, _ count: UInt64 = regionSize, bar: Int = bar,
        to space: inout PCIConfigurationSpace, extra: [UInt8] = []
    ) {
        let length = UInt8(16 + extra.count)
        let place = words([UInt32(truncatingIfNeeded: offset), UInt32(truncatingIfNeeded: count)])
        _ = space.addCapability(vendorCapability, [length, type, UInt8(bar), 0, 0, 0] + place + extra)
    }

    /// BAR, offset, length and data are the driver's to write (4.1.4.9).
    private static var configurationAccess: (body: [UInt8], writable: [UInt8]) {
        let body: [UInt8] = [20, StructureType.configurationAccess, 0, 0, 0, 0] + words([0, 0, 0])
        let writable: [UInt8] = [0, 0, 0xff, 0, 0, 0] + [UInt8](repeating: 0xff, count: 12)
        return (body, writable)
    }

    private static func words(_ values: [UInt32]) -> [UInt8] {
        values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) } }
    }
}
