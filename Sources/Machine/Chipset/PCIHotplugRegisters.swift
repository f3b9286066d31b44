public import DeviceModel
public import SavedState
import Synchronization

/// The register block through which the guest's ACPI code learns of PCI devices coming and going on bus 0.
///
/// The interface is the one that QEMU documents for its PCs, so any system that knows those knows this; the DSDT's
/// `\_GPE._E01` drives it. Five registers of 32 bits, one bit a slot:
///
/// | offset | name | meaning |
/// | --- | --- | --- |
/// | 00 | up | read: slots that were filled since the last read; reading clears them |
/// | 04 | down | read: slots the host wants back; a bit stays until its slot is ejected |
/// | 08 | eject | write: the guest lets go of these slots; read: zero, no further features |
/// | 0C | removable | read: slots that can be plugged at all |
/// | 10 | bus select | which bus the other registers speak of; only bus 0 has any bits |
///
/// Whoever changes up or down bits raises general-purpose event 1 afterwards; this class does it through `raiseEvent`.
public final class PCIHotplugRegisters: BusDevice, @unchecked Sendable {
    // @unchecked: all state is immutable, atomic or guarded by a mutex.

    /// First port, and how many from there.
    public static let port: UInt64 = 0xae00
    public static let portCount: UInt64 = 0x14
    /// The general-purpose event to raise.
    public static let event = 1

    private struct State: FieldCoded {
        var up: UInt32 = 0
        var down: UInt32 = 0
        var bus: UInt32 = 0

        mutating func code(_ coder: inout FieldCoder) {
            coder.field(&up, "up")
            coder.field(&down, "down")
            coder.field(&bus, "bus select")
        }
    }

    private let state = Mutex(State())
    private let removable: UInt32
    private let raiseEvent: @Sendable () -> Void
    private let eject: @Sendable (_ slot: Int) -> Void

    /// - Parameters:
    ///   - slots: the slots that can be plugged, the same as in the ACPI tables.
    ///   - raiseEvent: sets the status of general-purpose event 1.
    ///   - eject: the guest has let go of the device in a slot (0 to 31), asked or unasked; called on a vCPU thread, or on
    ///     the caller's in `reset`. It is not called for slots outside `slots`; the slot may be empty.
    public init(
        slots: some Sequence<UInt8>, raiseEvent: @escaping @Sendable () -> Void,
        eject: @escaping @Sendable (_ slot: Int) -> Void
    ) {
        removable = slots.reduce(0) { $0 | 1 << UInt32($1 & 31) }
        self.raiseEvent = raiseEvent
        self.eject = eject
    }

    // MARK: The host's side

    /// Tells the guest that a device was plugged into a slot, which it can see from now on.
    public func announce(slot: Int) {
        change(slot) { state, bit in state.up |= bit }
    }

    /// Asks the guest to let go of the device in a slot. Asking again repeats the request.
    public func requestEject(slot: Int) {
        change(slot) { state, bit in state.down |= bit }
    }

    /// Takes back a request the guest has not granted. It may be about to: `eject` can still be called.
    public func cancelEject(slot: Int) {
        guard let bit = bit(of: slot) else { return }
        state.withLock { $0.down &= ~bit }
    }

    /// Whether the guest was asked for a slot and has not let go of it yet.
    public func isEjectPending(slot: Int) -> Bool {
        guard let bit = bit(of: slot) else { return false }
        return state.withLock { $0.down & bit != 0 }
    }

    /// The machine is reset: announcements are void, as the guest looks at every slot when it starts, and devices it
    /// was asked for are ejected, as nobody uses them now.
    public func reset() {
        let pending = state.withLock { state in
            let pending = state.down
            state = State()
            return pending
        }
        ejectAll(pending)
    }

    private func change(_ slot: Int, _ body: (inout State, UInt32) -> Void) {
        guard let bit = bit(of: slot) else { return }
        state.withLock { body(&$0, bit) }
        raiseEvent()
    }

    private func bit(of slot: Int) -> UInt32? {
        guard (0..<32).contains(slot) else { return nil }
        let bit: UInt32 = 1 << UInt32(slot)
        return removable & bit != 0 ? bit : nil
    }

    private func ejectAll(_ slots: UInt32) {
        for slot in 0..<32 where slots & 1 << UInt32(slot) != 0 { eject(slot) }
    }

    // MARK: Saved state

    public override var stateVersion: UInt32? { 1 }

    public override func saveState(_ coder: inout FieldCoder) {
        var state = state.withLock { $0 }
        coder.field(&state)
    }

    public override func restoreState(_ coder: inout FieldCoder) {
        var restored = State()
        coder.field(&restored)
        guard coder.failure == nil else { return }
        state.withLock { state in
            restored.up &= removable
            restored.down &= removable
            state = restored
        }
    }

    // MARK: The guest's side

    public override func read(region: Int, offset: UInt64, width: Int) -> UInt64 {
        // The registers have 32 bits; narrower reads see their part, wider and crossing ones nothing.
        let shift = (offset & 3) * 8
        guard offset < Self.portCount, width >= 1, UInt64(width) + (offset & 3) <= 4 else {
            return allOnes(width: width)
        }
        let mask = UInt32(truncatingIfNeeded: allOnes(width: width)) << UInt32(shift)
        let value = state.withLock { state -> UInt32 in
            let isOurs = state.bus == 0
            switch offset & ~3 {
            case 0x00 where isOurs:
                let value = state.up
                state.up &= ~mask
                return value
            case 0x04 where isOurs: return state.down
            case 0x0c where isOurs: return removable
            case 0x10: return state.bus
            default: return 0
            }
        }
        return UInt64((value & mask) >> UInt32(shift))
    }

    public override func write(region: Int, offset: UInt64, width: Int, value: UInt64) {
        guard width == 4 else { return }
        let value = UInt32(truncatingIfNeeded: value)
        switch offset {
        case 0x08:
            let slots = state.withLock { state -> UInt32 in
                guard state.bus == 0 else { return 0 }
                let slots = value & removable
                state.up &= ~slots
                state.down &= ~slots
                return slots
            }
            // Outside the lock: ejecting may come back here, and takes its time.
            ejectAll(slots)
        case 0x10: state.withLock { $0.bus = value }
        default: break
        }
    }
}
