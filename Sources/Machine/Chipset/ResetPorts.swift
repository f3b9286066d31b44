public import DeviceModel
public import SavedState
import Synchronization

/// The ways a PC's software asks for a reset: the reset control register at 0xCF9, the keyboard controller's pulse at
/// 0x64, and the fast reset bit of port 0x92.
public final class ResetPorts: BusDevice, @unchecked Sendable {
    // @unchecked: all state is immutable, atomic or guarded by a mutex.

    /// Region numbers to map it with.
    public static let resetControlRegion = 0
    public static let keyboardRegion = 1
    public static let systemControlRegion = 2
    /// Ports of the latter two; reset control lies inside the PCI host bridge's range.
    public static let keyboardPort: UInt64 = 0x64
    public static let systemControlPort: UInt64 = 0x92

    private let reset: @Sendable () -> Void
    private let control = Atomic<UInt8>(0)
    /// Bit 1 is the A20 gate, which is always open.
    private let systemControl = Atomic<UInt8>(2)

    /// - Parameter reset: called on a vCPU thread.
    public init(reset: @escaping @Sendable () -> Void) { self.reset = reset }

    public override var stateVersion: UInt32? { 1 }

    public override func saveState(_ coder: inout FieldCoder) {
        var (control, system) = (control.load(ordering: .relaxed), systemControl.load(ordering: .relaxed))
        coder.field(&control, "reset control")
        coder.field(&system, "system control")
    }

    public override func restoreState(_ coder: inout FieldCoder) {
        var (control, system): (UInt8, UInt8) = (0, 0)
        coder.field(&control, "reset control")
        coder.field(&system, "system control")
        guard coder.failure == nil else { return }
        self.control.store(control & 0x0a, ordering: .relaxed)
        systemControl.store(system & ~1 | 2, ordering: .relaxed)
    }

    public override func read(region: Int, offset: UInt64, width: Int) -> UInt64 {
        guard width == 1 else { return allOnes(width: width) }
        switch region {
        case Self.resetControlRegion: return UInt64(control.load(ordering: .relaxed))
        // No keyboard controller besides the reset pulse: both buffers empty, self-test passed, keyboard not locked.
        case Self.keyboardRegion: return 0x14
        default: return UInt64(systemControl.load(ordering: .relaxed))
        }
    }

    public override func write(region: Int, offset: UInt64, width: Int, value: UInt64) {
        guard width == 1 else { return }
        let byte = UInt8(truncatingIfNeeded: value)
        switch region {
        case Self.resetControlRegion:
            control.store(byte & 0x0a, ordering: .relaxed)
            if byte & 4 != 0 { reset() }
        case Self.keyboardRegion:
            if byte == 0xfe { reset() }
        default:
            systemControl.store(byte & ~1 | 2, ordering: .relaxed)
            if byte & 1 != 0 { reset() }
        }
    }
}
