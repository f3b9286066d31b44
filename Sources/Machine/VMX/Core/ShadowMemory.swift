import Chipset
import DeviceModel
import GuestMemory
import KVM
import Linux
import Synchronization

/// The machine's RAM as KVM sees it. Below 1 MiB it has a gap for the screen, and from C0000 on it is RAM or ROM, piece by piece, as
/// the host bridge's PAM registers say.
///
/// As a device it takes the accesses that no memory answers: writes to RAM that is read from ROM, and reads of nothing.
final class ShadowMemory: BusDevice, @unchecked Sendable {
    // @unchecked: what changes is guarded by the mutex.

    static let start: GuestAddress = 0xc_0000
    static let end: GuestAddress = 0x10_0000
    static let count = end - start
    /// Where the ROM shows: its last 128 KiB.
    private static let romStart: GuestAddress = 0xe_0000
    /// The VGA window: no RAM.
    private static let screen: GuestAddress = 0xa_0000

    /// Neighbouring pieces that are alike.
    private struct Stretch: Equatable {
        var start: GuestAddress
        var count: Int
        var access: ShadowAccess
        var isROM: Bool
    }

    private struct State {
        var access: [ShadowAccess] = []
        var slots: [(stretch: Stretch, slot: MemorySlot)] = []
        var rom: Mapping?
    }

    private let machine: VirtualMachine
    private let memory: GuestMemory
    private let state = Mutex(State())

    /// Shows the guest its RAM, apart from the area that `apply` is for.
    init(_ memory: GuestMemory, _ machine: VirtualMachine) throws(KVMError) {
        self.machine = machine
        self.memory = memory
        super.init()
        try show(0, count: Int(Self.screen))
        for region in memory.regions {
            let start = max(region.start, Self.end)
            if start < region.end { try show(start, count: Int(region.end - start)) }
        }
    }

    @discardableResult
    private func show(_ address: GuestAddress, count: Int, flags: MemoryFlags = []) throws(KVMError) -> MemorySlot {
        guard let base = unsafe memory.ram.pointer(at: address, count: count) else {
            throw .badMemoryRange(address: address, size: UInt64(count))
        }
        return unsafe try machine.addMemory(
            at: address, UnsafeMutableRawBufferPointer(start: base, count: count), flags: flags)
    }

    /// Sets what is read where RAM is not. At least 128 KiB, in whole pages.
    func setROM(_ rom: Mapping) {
        state.withLock { state in
            state.rom = rom
            update(&state)
        }
    }

    /// Makes the area be as PAM registers say.
    func apply(_ access: [ShadowAccess]) {
        state.withLock { state in
            guard access != state.access else { return }
            state.access = access
            update(&state)
        }
    }

    /// 16 KiB each, and 64 KiB from F0000.
    private static func place(_ segment: Int) -> (start: GuestAddress, count: Int) {
        (start + UInt64(segment) * 0x4000, segment == HostBridge.shadowSegments - 1 ? 0x1_0000 : 0x4000)
    }

    private static func stretches(_ access: [ShadowAccess], hasROM: Bool) -> [Stretch] {
        var stretches: [Stretch] = []
        for (segment, access) in access.enumerated() {
            let (start, count) = place(segment)
            let isROM = !access.contains(.readsRAM)
            // Where there is nothing to be read, the accesses come to the device.
            if isROM, !hasROM || start < romStart { continue }
            if let last = stretches.last, last.access == access, last.isROM == isROM,
                last.start + UInt64(last.count) == start
            {
                stretches[stretches.count - 1].count += count
            } else {
                stretches.append(Stretch(start: start, count: count, access: access, isROM: isROM))
            }
        }
        return stretches
    }

    /// Changes only the slots that must change: each change costs the machine its shadow pages.
    private func update(_ state: inout State) {
        let wanted = Self.stretches(state.access, hasROM: state.rom != nil)
        for (stretch, slot) in state.slots where !wanted.contains(stretch) { try? machine.removeMemory(slot) }
        state.slots.removeAll { !wanted.contains($0.stretch) }
        for stretch in wanted where !state.slots.contains(where: { $0.stretch == stretch }) {
            if let slot = try? slot(for: stretch, rom: state.rom) { state.slots.append((stretch, slot)) }
        }
    }

    private func slot(for stretch: Stretch, rom: Mapping?) throws(KVMError) -> MemorySlot {
        guard stretch.isROM, let rom else {
            let flags: MemoryFlags = stretch.access.contains(.writesRAM) ? [] : .readOnly
            return try show(stretch.start, count: stretch.count, flags: flags)
        }
        let first = rom.count - Int(Self.end - stretch.start)
        return try machine.addMemory(
            at: stretch.start, rom, range: first..<(first + stretch.count), flags: .readOnly)
    }

    /// All of it follows from the host bridge's registers.
    override var stateVersion: UInt32? { 1 }

    // MARK: Accesses without memory

    override func write(region: Int, offset: UInt64, width: Int, value: UInt64) {
        let segment = min(Int(truncatingIfNeeded: offset >> 14), HostBridge.shadowSegments - 1)
        let isWritable = state.withLock { state in
            state.access.indices.contains(segment) && state.access[segment].contains(.writesRAM)
        }
        guard isWritable else { return }
        for index in 0..<UInt64(width) {
            memory.ram.store(UInt8(truncatingIfNeeded: value >> (8 * index)), at: Self.start &+ offset &+ index)
        }
    }
}
