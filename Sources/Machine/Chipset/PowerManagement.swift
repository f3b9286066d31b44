public import DeviceModel
import Linux
public import SavedState
import Synchronization

/// The ACPI fixed registers and general-purpose events (ACPI 6.4, section 4.8), laid out as in an ICH9 at PMBASE.
///
/// Power button, sleep states, the PM timer, and GPE block 0. SCI is raised as long as an enabled status bit is set.
public final class PowerManagement: BusDevice, @unchecked Sendable {
    // @unchecked: all state is immutable, atomic or guarded by a mutex.

    /// PMBASE and how many ports from there.
    public static let port: UInt64 = 0x600
    public static let portCount: UInt64 = 0x80
    /// The interrupt that SCI uses.
    public static let interrupt: UInt32 = 9
    /// SMI_CMD and the values that switch ACPI mode on and off.
    public static let commandPort: UInt64 = 0xb2
    public static let enableCommand: UInt8 = 2
    public static let disableCommand: UInt8 = 3
    /// Region numbers to map it with.
    public static let registerRegion = 0
    public static let commandRegion = 1

    private static let powerButton: UInt16 = 1 << 8
    private static let sciEnable: UInt16 = 1
    private static let sleepEnable: UInt16 = 1 << 13

    private struct State: FieldCoded {
        var status: UInt16 = 0
        var enable: UInt16 = 0
        var control: UInt16 = 0
        var eventStatus: UInt64 = 0
        var eventEnable: UInt64 = 0
        var scratch: UInt8 = 0
        var line = false

        mutating func code(_ coder: inout FieldCoder) {
            coder.field(&status, "status")
            coder.field(&enable, "enable")
            coder.field(&control, "control")
            coder.field(&eventStatus, "event status")
            coder.field(&eventEnable, "event enable")
            coder.field(&scratch, "command data")
        }
    }

    private let state = Mutex(State())
    private let sci: any InterruptLine
    private let powerOff: @Sendable () -> Void
    /// When the PM timer stood at zero, by the host's monotonic clock; may lie before that clock's own beginning.
    private let start = Atomic<UInt64>(monotonicNanoseconds())

    /// - Parameter powerOff: the guest asked for S5; called on a vCPU thread.
    public init(sci: any InterruptLine, powerOff: @escaping @Sendable () -> Void) {
        self.sci = sci
        self.powerOff = powerOff
    }

    public func reset() {
        state.withLock { state in
            state = State()
            sci.set(false)
        }
    }

    /// A short press of the power button: asks the guest to shut down.
    ///
    /// - Returns: false if the guest's system does not listen (ACPI off, or no driver has enabled the button).
    @discardableResult
    public func pressPowerButton() -> Bool {
        state.withLock { state in
            state.status |= Self.powerButton
            update(&state)
            return state.control & Self.sciEnable != 0 && state.enable & Self.powerButton != 0
        }
    }

    /// Sets the status of a general-purpose event, 0...63.
    public func raiseEvent(_ number: Int) {
        state.withLock { state in
            state.eventStatus |= 1 << UInt64(number & 63)
            update(&state)
        }
    }

    private func update(_ state: inout State) {
        let pending = state.status & state.enable != 0 || state.eventStatus & state.eventEnable != 0
        let level = pending && state.control & Self.sciEnable != 0
        if level != state.line {
            state.line = level
            sci.set(level)
        }
    }

    /// The PM timer: 3.579545 MHz, 32 bits (the FADT says so).
    private var timer: UInt32 {
        let elapsed = monotonicNanoseconds() &- start.load(ordering: .relaxed)
        // Split, so that the product cannot overflow: seconds and the rest.
        let ticks = (elapsed / 1_000_000_000) &* 3_579_545 &+ (elapsed % 1_000_000_000) &* 3_579_545 / 1_000_000_000
        return UInt32(truncatingIfNeeded: ticks)
    }

    // MARK: Saved state

    public override var stateVersion: UInt32? { 1 }

    public override func saveState(_ coder: inout FieldCoder) {
        var state = state.withLock { $0 }
        coder.field(&state)
        var elapsed = monotonicNanoseconds() &- start.load(ordering: .relaxed)
        coder.field(&elapsed, "timer")
    }

    public override func restoreState(_ coder: inout FieldCoder) {
        var restored = State()
        coder.field(&restored)
        var elapsed: UInt64 = 0
        coder.field(&elapsed, "timer")
        guard coder.failure == nil else { return }
        start.store(monotonicNanoseconds() &- elapsed &- coder.elapsed, ordering: .relaxed)
        state.withLock { state in
            restored.line = state.line
            restored.control &= ~Self.sleepEnable
            state = restored
            update(&state)
        }
    }

    // MARK: Registers

    public override func read(region: Int, offset: UInt64, width: Int) -> UInt64 {
        if region == Self.commandRegion { return offset == 1 ? UInt64(state.withLock { $0.scratch }) : 0 }
        // The timer first and without the lock: firmware polls it in tight loops.
        if offset == 0x8, width == 4 { return UInt64(timer) }
        var value: UInt64 = 0
        state.withLock { state in
            for index in 0..<width {
                let byte = self.byte(at: offset &+ UInt64(index), state)
                value |= UInt64(byte) << UInt64(8 * index)
            }
        }
        return value
    }

    private func byte(at offset: UInt64, _ state: State) -> UInt8 {
        func part(_ value: UInt64, from base: UInt64) -> UInt8 {
            UInt8(truncatingIfNeeded: value >> (8 * (offset - base)))
        }
        switch offset {
        case 0x00...0x01: return part(UInt64(state.status), from: 0x00)
        case 0x02...0x03: return part(UInt64(state.enable), from: 0x02)
        case 0x04...0x05: return part(UInt64(state.control), from: 0x04)
        case 0x08...0x0b: return part(UInt64(timer), from: 0x08)
        case 0x20...0x27: return part(state.eventStatus, from: 0x20)
        case 0x28...0x2f: return part(state.eventEnable, from: 0x28)
        // SMI_EN with APMC_EN set: firmware takes system management mode for set up and leaves it alone.
        case 0x30: return 0x20
        default: return 0
        }
    }

    public override func write(region: Int, offset: UInt64, width: Int, value: UInt64) {
        if region == Self.commandRegion { return command(offset, UInt8(truncatingIfNeeded: value)) }
        let sleeps = state.withLock { state in
            var sleeps = false
            for index in 0..<width {
                let byte = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
                sleeps = store(byte, at: offset &+ UInt64(index), &state) || sleeps
            }
            update(&state)
            return sleeps
        }
        if sleeps { powerOff() }
    }

    /// - Returns: true if the guest asked for S5.
    private func store(_ byte: UInt8, at offset: UInt64, _ state: inout State) -> Bool {
        func merged(_ word: UInt64, from base: UInt64) -> UInt64 {
            let shift = 8 * (offset - base)
            return word & ~(0xff << shift) | UInt64(byte) << shift
        }
        switch offset {
        case 0x00...0x01: state.status &= ~UInt16(truncatingIfNeeded: UInt64(byte) << (8 * offset))
        case 0x02...0x03: state.enable = UInt16(truncatingIfNeeded: merged(UInt64(state.enable), from: 0x02))
        case 0x04...0x05:
            let control = UInt16(truncatingIfNeeded: merged(UInt64(state.control), from: 0x04))
            // SLP_EN reads as zero. SLP_TYP 0 is S5 (the DSDT says so); others are not offered.
            state.control = control & ~Self.sleepEnable
            return offset == 0x05 && control & Self.sleepEnable != 0 && control >> 10 & 7 == 0
        case 0x20...0x27: state.eventStatus &= ~(UInt64(byte) << (8 * (offset - 0x20)))
        case 0x28...0x2f: state.eventEnable = merged(state.eventEnable, from: 0x28)
        default: break
        }
        return false
    }

    private func command(_ offset: UInt64, _ byte: UInt8) {
        state.withLock { state in
            switch (offset, byte) {
            case (0, Self.enableCommand): state.control |= Self.sciEnable
            case (0, Self.disableCommand): state.control &= ~Self.sciEnable
            case (1, _): state.scratch = byte
            default: break
            }
            update(&state)
        }
    }
}
