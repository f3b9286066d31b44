import Chipset
import KVM
import Linux
import Synchronization

/// The flash with UEFI's variables, kept in the machine's `.nvram` file.
///
/// The file is the flash, byte for byte. What firmware programs is in the file, and safe from a power cut, before firmware goes on: its
/// own protection against torn writes then holds here as it does on a real board.
final class VariableStore: FlashHousing, @unchecked Sendable {
    // @unchecked: the slot is guarded by its mutex, the rest immutable.

    let address: UInt64
    private let mapping: Mapping
    private let machine: VirtualMachine
    private let file: Descriptor
    private let path: String
    private let slot = Mutex<MemorySlot?>(nil)
    private let log: MachineLog
    /// More than any firmware's variables take.
    private static let sizeMax = 16 << 20

    /// Opens the file, or makes it from the template.
    ///
    /// - Parameter address: where the guest sees it.
    init(path: String, template: Mapping, at address: UInt64, machine: VirtualMachine, _ log: MachineLog) throws {
        self.machine = machine
        self.address = address
        self.log = log
        self.path = try Self.prepare(path, template, log)
        let bytes = try readFile(self.path, limit: Self.sizeMax)
        guard bytes.count == template.count else {
            throw StartFailure(
                .configuration, "\(self.path) has \(bytes.count) bytes; the firmware's variables take \(template.count)"
            )
        }
        mapping = try Mapping(copying: bytes, self.path)
        file = try Descriptor(opening: self.path, [.readWrite])
        setReadable(true)
    }

    /// VMware keeps another format under the same name; such a file stays as it is.
    ///
    /// - Returns: the file to use, which exists.
    private static func prepare(_ path: String, _ template: Mapping, _ log: MachineLog) throws -> String {
        var path = path
        if let bytes = try? readFile(path, limit: sizeMax), bytes.starts(with: "MRVN".utf8) {
            path += ".efi"
            log.warning("The variables in VMware's own format are not read; this machine's are in \(path)")
        }
        guard !fileExists(path) else { return path }
        let bytes = unsafe Array(UnsafeRawBufferPointer(start: template.base, count: template.count))
        try Files.replace(path, with: bytes)
        log.info("New variables in \(path)")
        return path
    }

    @unsafe var base: UnsafeMutableRawPointer { unsafe mapping.base }
    var count: Int { mapping.count }

    func setReadable(_ isReadable: Bool) {
        slot.withLock { slot in
            if isReadable, slot == nil {
                slot = try? machine.addMemory(at: address, mapping, flags: .readOnly)
            } else if !isReadable, let present = slot {
                try? machine.removeMemory(present)
                slot = nil
            }
        }
    }

    func save(_ range: Range<Int>) {
        let bytes = unsafe Array(UnsafeRawBufferPointer(start: mapping.base + range.lowerBound, count: range.count))
        do throws(SystemError) {
            try file.write(bytes, at: Int64(range.lowerBound), path)
            try file.synchronizeData()
        } catch { log.error("The firmware's variables are not saved: \(error)") }
    }
}
