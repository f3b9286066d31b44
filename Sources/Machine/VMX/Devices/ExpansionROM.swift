import DeviceModel
import KVM
import Linux
import Synchronization

/// A card's expansion ROM: read-only memory of the guest.
final class ExpansionROM: PCIExpansionROM {
    /// Memory comes in pages.
    private static let countMin = 4096

    private let machine: VirtualMachine
    private let mapping: Mapping
    private let slot = Mutex<MemorySlot?>(nil)

    init(_ bytes: [UInt8], _ machine: VirtualMachine) throws(SystemError) {
        var count = Self.countMin
        while count < bytes.count { count <<= 1 }
        self.machine = machine
        mapping = try Mapping(copying: bytes + [UInt8](repeating: 0xff, count: count - bytes.count), "expansion ROM")
    }

    var count: UInt64 { UInt64(mapping.count) }

    func moved(to address: UInt64?) {
        slot.withLock { slot in
            if let present = slot { try? machine.removeMemory(present) }
            // Where memory is already, the guest does not see it: as with two chips at one address.
            slot = address.flatMap { try? machine.addMemory(at: $0, mapping, flags: .readOnly) }
        }
    }
}
