public import DeviceModel
public import GuestMemory
public import SavedState
import Synchronization

/// The device through which firmware learns what machine it is on: fw_cfg, as QEMU specifies it (docs/specs/fw_cfg).
///
/// Items have a 16-bit key; those with names stand in a directory under a key of its own. Firmware selects a key and reads the item
/// byte by byte from a port, or has it copied to memory (DMA). Both ways share one offset: firmware mixes them.
public final class FirmwareConfiguration: BusDevice, @unchecked Sendable {
    // @unchecked: what is writable is guarded by the mutex, the rest immutable.

    public static let port: UInt64 = 0x510
    public static let portCount: UInt64 = 12

    /// Bits of a DMA request's control word.
    private enum Control {
        static let error: UInt32 = 1 << 0
        static let read: UInt32 = 1 << 1
        static let skip: UInt32 = 1 << 2
        static let select: UInt32 = 1 << 3
        static let write: UInt32 = 1 << 4
    }

    /// What the DMA address register reads as: `QEMU CFG`, first byte first.
    private static let signature: UInt64 = 0x5145_4d55_2043_4647
    /// Key bit 14 asks for writing in an older version of the interface; it selects the same item.
    private static let writeKey: UInt16 = 1 << 14

    private struct State {
        var item: Int?
        var offset: UInt64 = 0
        /// The DMA address register's upper half.
        var addressHigh: UInt32 = 0
        /// What the guest has written to the items that it may write, by item.
        var written: [Int: [UInt8]] = [:]
    }

    private let items: FirmwareItems
    private let ram: GuestRAM
    private let state = Mutex(State())

    public init(_ items: FirmwareItems, ram: GuestRAM) {
        self.items = items
        self.ram = ram
    }

    public func reset() { state.withLock { $0 = State() } }

    /// What the guest wrote to a file that it may write; nil if it has not, or there is no such file.
    public func written(_ name: String) -> [UInt8]? {
        guard let item = items.index(of: name) else { return nil }
        return state.withLock { $0.written[item] }
    }

    // MARK: Saved state

    /// What was written to one item.
    private struct Written: FieldCoded {
        var key: UInt16 = 0
        var bytes: [UInt8] = []

        mutating func code(_ coder: inout FieldCoder) {
            coder.field(&key, "written item")
            coder.blob(&bytes, limit: 1 << 20, "written bytes")
        }
    }

    public override var stateVersion: UInt32? { 1 }

    public override func saveState(_ coder: inout FieldCoder) {
        var state = state.withLock { $0 }
        code(&state, &coder)
    }

    public override func restoreState(_ coder: inout FieldCoder) {
        var restored = State()
        code(&restored, &coder)
        if coder.failure == nil { state.withLock { $0 = restored } }
    }

    private func code(_ state: inout State, _ coder: inout FieldCoder) {
        var key = state.item.map { items.key(of: $0) }
        coder.optional(&key, "item")
        coder.field(&state.offset, "offset")
        coder.field(&state.addressHigh, "address")
        var written = state.written.sorted { $0.key < $1.key }.map {
            Written(key: items.key(of: $0.key), bytes: $0.value)
        }
        coder.list(&written, limit: 1 << 14, "written items")
        guard coder.isReading, coder.failure == nil else { return }
        // An item that this version lacks reads as zeros, as it does for a guest that asks for one.
        state.item = key.flatMap { items.index(of: $0) }
        for item in written {
            guard let index = items.index(of: item.key), items.isWritable(index),
                items.bytes(index).count == item.bytes.count
            else { return coder.fail("item \(item.key) cannot be written, or has another length") }
            state.written[index] = item.bytes
        }
    }

    // MARK: Ports

    public override func read(region: Int, offset: UInt64, width: Int) -> UInt64 {
        switch (offset, width) {
        case (1, 1): return state.withLock { UInt64(nextByte(&$0)) }
        case (4...11, 1...8) where offset &+ UInt64(width) <= 12:
            // Big-endian on a little-endian bus: the first byte of the signature has the lowest address.
            var value: UInt64 = 0
            for index in 0..<UInt64(width) {
                let byte = Self.signature >> (8 &* (7 &- (offset &- 4 &+ index))) & 0xff
                value |= byte << (8 &* index)
            }
            return value
        default: return allOnes(width: width)
        }
    }

    public override func write(region: Int, offset: UInt64, width: Int, value: UInt64) {
        switch (offset, width) {
        case (0, 2): state.withLock { select(UInt16(truncatingIfNeeded: value), &$0) }
        case (4, 4): state.withLock { $0.addressHigh = UInt32(truncatingIfNeeded: value).byteSwapped }
        case (8, 4):
            state.withLock { state in
                let low = UInt32(truncatingIfNeeded: value).byteSwapped
                let address = UInt64(state.addressHigh) << 32 | UInt64(low)
                state.addressHigh = 0
                transfer(address, &state)
            }
        default: break
        }
    }

    private func select(_ key: UInt16, _ state: inout State) {
        state.item = items.index(of: key & ~Self.writeKey)
        state.offset = 0
    }

    /// Zero past the end, and of items that do not exist.
    private func nextByte(_ state: inout State) -> UInt8 {
        guard let item = state.item else { return 0 }
        let offset = state.offset
        state.offset &+= 1
        let bytes = items.bytes(item)
        if let written = state.written[item] { return offset < written.count ? written[Int(offset)] : 0 }
        return offset < bytes.count ? bytes[Int(offset)] : 0
    }

    // MARK: DMA

    /// Carries out the request at an address: control u32, length u32, address u64, all big-endian. Answers in the control word.
    private func transfer(_ descriptor: GuestAddress, _ state: inout State) {
        guard let control = ram.load(UInt32.self, at: descriptor)?.byteSwapped,
            let length = ram.load(UInt32.self, at: descriptor &+ 4)?.byteSwapped,
            let address = ram.load(UInt64.self, at: descriptor &+ 8)?.byteSwapped
        else { return }
        if control & Control.select != 0 { select(UInt16(truncatingIfNeeded: control >> 16), &state) }
        var isDone = true
        if control & Control.read != 0 {
            isDone = copyOut(to: address, count: Int(length), &state)
        } else if control & Control.write != 0 {
            isDone = copyIn(from: address, count: Int(length), &state)
        } else if control & Control.skip != 0 {
            state.offset &+= UInt64(length)
        }
        ram.store((isDone ? 0 : Control.error).byteSwapped, at: descriptor)
    }

    private func copyOut(to address: GuestAddress, count: Int, _ state: inout State) -> Bool {
        guard let target = unsafe ram.pointer(at: address, count: count) else { return false }
        let copied = state.item.map { item in
            let bytes = state.written[item] ?? items.bytes(item)
            return unsafe bytes.withUnsafeBytes { source -> Int in
                guard let base = source.baseAddress, state.offset < source.count else { return 0 }
                let start = Int(state.offset)
                let count = min(count, source.count - start)
                unsafe target.copyMemory(from: base + start, byteCount: count)
                return count
            }
        }
        let done = copied ?? 0
        if done < count { unsafe (target + done).initializeMemory(as: UInt8.self, repeating: 0, count: count - done) }
        ram.markDirty(address, count: count)
        state.offset &+= UInt64(count)
        return true
    }

    private func copyIn(from address: GuestAddress, count: Int, _ state: inout State) -> Bool {
        guard let item = state.item, items.isWritable(item) else { return false }
        var bytes = state.written[item] ?? items.bytes(item)
        guard state.offset <= bytes.count, count <= bytes.count - Int(state.offset),
            let new = try? ram.read(count, at: address)
        else { return false }
        let start = Int(state.offset)
        bytes.replaceSubrange(start..<(start + count), with: new)
        state.written[item] = bytes
        state.offset &+= UInt64(count)
        return true
    }
}
