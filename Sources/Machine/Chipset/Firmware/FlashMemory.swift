public import DeviceModel
public import SavedState
import Synchronization

/// What a flash device needs from the machine around it.
public protocol FlashHousing: AnyObject, Sendable {
    /// The bytes, for as long as the device lives.
    @unsafe var base: UnsafeMutableRawPointer { get }
    /// How many there are; a multiple of the block size.
    var count: Int { get }

    /// Whether the guest reads the bytes themselves, without the device.
    func setReadable(_ isReadable: Bool)

    /// The guest has changed these bytes and goes on only when they are safe.
    func save(_ range: Range<Int>)
}

/// Flash memory with Intel's command set (Intel StrataFlash, and CFI's primary command set 0001h), in which UEFI firmware keeps its
/// variables.
///
/// The guest reads it as memory, unless it has asked for the status or the identifier. Programming clears bits, erasing sets those of
/// a block.
///
/// Unlike a real one it does not show its status by itself after programming: taking the memory away from the guest and giving it back
/// for each of 16 000 bytes would cost seconds, and whoever cares asks for the status. Left out are the CFI query, block locks and
/// buffered programming, which the firmware that we start does not use; they read as status.
public final class FlashMemory: BusDevice, @unchecked Sendable {
    // @unchecked: state and bytes are guarded by the mutex; reads of the bytes race only with the guest's own writes.

    /// Bytes that are erased together: what OVMF is built for.
    public static let blockSize = 4096

    private enum Command {
        static let program: UInt8 = 0x40, programOld: UInt8 = 0x10
        static let erase: UInt8 = 0x20, confirm: UInt8 = 0xd0
        static let clearStatus: UInt8 = 0x50, readStatus: UInt8 = 0x70
        static let readIdentifier: UInt8 = 0x90
        static let readArray: UInt8 = 0xff
    }

    private enum Status {
        static let ready: UInt8 = 0x80
        /// A command sequence that makes no sense: both error bits.
        static let badSequence: UInt8 = 0x30
    }

    private enum Mode: UInt8 { case array, status, identifier, program, erase }

    private struct State {
        var mode = Mode.array
        /// Nothing of it until a command has ended: firmware takes flash for memory or ROM if it is not zero after clearing.
        var status: UInt8 = 0
        /// What was changed since it was last saved.
        var changed: Range<Int>?
    }

    private let housing: any FlashHousing
    private let state = Mutex(State())

    public init(_ housing: any FlashHousing) {
        precondition(housing.count % Self.blockSize == 0, "flash comes in blocks")
        self.housing = housing
    }

    public func reset() { state.withLock { showArray(&$0) } }

    // MARK: Saved state

    /// The bytes are in their file.
    public override var stateVersion: UInt32? { 1 }

    public override func saveState(_ coder: inout FieldCoder) {
        state.withLock { state in
            if let changed = state.changed { housing.save(changed) }
            state.changed = nil
            var (mode, status) = (state.mode.rawValue, state.status)
            coder.field(&mode, "mode")
            coder.field(&status, "status")
        }
    }

    public override func restoreState(_ coder: inout FieldCoder) {
        var (raw, status): (UInt8, UInt8) = (0, 0)
        coder.field(&raw, "mode")
        let mode = Mode(rawValue: raw)
        coder.check(mode != nil, "mode \(raw) is unknown")
        coder.field(&status, "status")
        guard coder.failure == nil, let mode else { return }
        state.withLock { state in
            show(mode, &state)
            state.status = status
        }
    }

    // MARK: Registers

    public override func read(region: Int, offset: UInt64, width: Int) -> UInt64 {
        state.withLock { state in
            switch state.mode {
            case .array, .program, .erase:
                guard let place = place(offset, width) else { return allOnes(width: width) }
                var value: UInt64 = 0
                for index in (0..<width).reversed() {
                    value = unsafe value << 8 | UInt64(housing.base.load(fromByteOffset: place + index, as: UInt8.self))
                }
                return value
            // Manufacturer and device: Intel, 128 Mbit.
            case .identifier: return offset & 0xff == 0 ? 0x89 : 0x18
            case .status: return UInt64(state.status)
            }
        }
    }

    public override func write(region: Int, offset: UInt64, width: Int, value: UInt64) {
        state.withLock { state in
            switch state.mode {
            case .program:
                program(offset, width, value, &state)
                state.status |= Status.ready
                state.mode = .array
            case .erase:
                if UInt8(truncatingIfNeeded: value) == Command.confirm {
                    erase(offset, &state)
                } else {
                    state.status |= Status.badSequence
                }
                state.status |= Status.ready
                state.mode = .array
            case .array, .status, .identifier: command(UInt8(truncatingIfNeeded: value), &state)
            }
        }
    }

    private func command(_ command: UInt8, _ state: inout State) {
        switch command {
        case Command.program, Command.programOld: show(.program, &state)
        case Command.erase: show(.erase, &state)
        case Command.clearStatus: state.status = 0
        case Command.readIdentifier: show(.identifier, &state)
        case Command.readArray: showArray(&state)
        default: show(.status, &state)
        }
    }

    /// The guest is done with a series of commands: what it changed is saved.
    private func showArray(_ state: inout State) {
        if let changed = state.changed { housing.save(changed) }
        state.changed = nil
        show(.array, &state)
    }

    private func show(_ mode: Mode, _ state: inout State) {
        func isMemory(_ mode: Mode) -> Bool { mode != .status && mode != .identifier }
        if isMemory(state.mode) != isMemory(mode) { housing.setReadable(isMemory(mode)) }
        state.mode = mode
    }

    private func place(_ offset: UInt64, _ width: Int) -> Int? {
        guard width > 0, offset < housing.count, width <= housing.count - Int(offset) else { return nil }
        return Int(offset)
    }

    private func program(_ offset: UInt64, _ width: Int, _ value: UInt64, _ state: inout State) {
        guard let place = place(offset, width) else { return }
        for index in 0..<width {
            let byte = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
            let target = unsafe housing.base.advanced(by: place + index).assumingMemoryBound(to: UInt8.self)
            unsafe target.pointee &= byte
        }
        note(place..<(place + width), &state)
    }

    private func erase(_ offset: UInt64, _ state: inout State) {
        guard let place = place(offset, 1) else { return }
        let start = place / Self.blockSize * Self.blockSize
        unsafe housing.base.advanced(by: start).initializeMemory(as: UInt8.self, repeating: 0xff, count: Self.blockSize)
        note(start..<(start + Self.blockSize), &state)
    }

    private func note(_ range: Range<Int>, _ state: inout State) {
        guard let changed = state.changed else { return state.changed = range }
        state.changed = min(changed.lowerBound, range.lowerBound)..<max(changed.upperBound, range.upperBound)
    }
}
