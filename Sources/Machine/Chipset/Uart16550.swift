public import DeviceModel
public import SavedState
import Synchronization

/// A 16550A serial port (National Semiconductor PC16550D data sheet, section 8).
///
/// There is no line: divisor, word length and parity are stored and change nothing; what the guest sends is there at
/// once. FIFO reset and the trigger level are honoured in so far as a guest can tell.
public final class Uart16550: BusDevice, CharacterReceiver, @unchecked Sendable {
    // @unchecked: all state is immutable, atomic or guarded by a mutex.

    /// I/O ports of COM1 to COM4, and the interrupts they use on a PC.
    public static let ports: [UInt64] = [0x3f8, 0x2f8, 0x3e8, 0x2e8]
    public static let interrupts: [UInt32] = [4, 3, 4, 3]
    /// How many ports one takes.
    public static let portCount: UInt64 = 8
    /// Bytes the receive FIFO holds.
    static let fifoSize = 16

    private struct State: FieldCoded {
        var interruptEnable: UInt8 = 0
        var fifoEnabled = false
        var lineControl: UInt8 = 0
        var modemControl: UInt8 = 0
        var scratch: UInt8 = 0
        var divisor: UInt16 = 12  // 9600 baud
        /// The transmitter emptied since the guest last read the reason or wrote a byte.
        var transmitEmptyPending = false
        var overrun = false
        var fifo = InlineArray<16, UInt8>(repeating: 0)
        var first = 0
        var count = 0
        var line = false

        /// The bytes in the FIFO, the oldest first.
        private var waiting: [UInt8] {
            get { (0..<count).map { fifo[(first + $0) % Uart16550.fifoSize] } }
            set {
                (first, count) = (0, newValue.count)
                for (index, byte) in newValue.enumerated() { fifo[index] = byte }
            }
        }

        mutating func code(_ coder: inout FieldCoder) {
            coder.field(&interruptEnable, "interrupt enable")
            coder.field(&fifoEnabled, "FIFO enable")
            coder.field(&lineControl, "line control")
            coder.field(&modemControl, "modem control")
            coder.field(&scratch, "scratch")
            coder.field(&divisor, "divisor")
            coder.field(&transmitEmptyPending, "transmitter empty")
            coder.field(&overrun, "overrun")
            var bytes = waiting
            coder.blob(&bytes, limit: Uart16550.fifoSize, "FIFO")
            if coder.failure == nil { waiting = bytes }
        }
    }

    private let state = Mutex(State())
    private let interrupt: any InterruptLine
    private let backend: any CharacterBackend

    public init(interrupt: any InterruptLine, backend: any CharacterBackend) {
        self.interrupt = interrupt
        self.backend = backend
        super.init()
        backend.setReceiver(self)
    }

    /// Back to power-on.
    public func reset() {
        state.withLock { state in
            state = State()
            interrupt.set(false)
        }
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
            restored.line = state.line
            state = restored
            update(&state)
        }
        // Whoever was turned away before would wait for ever.
        backend.receiverHasRoom()
    }

    // MARK: Receiving

    public func receive(_ bytes: Span<UInt8>) -> Int {
        state.withLock { state in
            var taken = 0
            while taken < bytes.count, state.count < (state.fifoEnabled ? Self.fifoSize : 1) {
                push(bytes[taken], &state)
                taken += 1
            }
            update(&state)
            return taken
        }
    }

    private func push(_ byte: UInt8, _ state: inout State) {
        state.fifo[(state.first + state.count) % Self.fifoSize] = byte
        state.count += 1
    }

    private func pop(_ state: inout State) -> UInt8 {
        guard state.count > 0 else { return 0 }
        let byte = state.fifo[state.first]
        state.first = (state.first + 1) % Self.fifoSize
        state.count -= 1
        return byte
    }

    // MARK: Registers

    public override func read(region: Int, offset: UInt64, width: Int) -> UInt64 {
        guard width == 1 else { return allOnes(width: width) }
        var hasRoom = false
        let value = state.withLock { state -> UInt8 in
            let divisorAccess = state.lineControl & 0x80 != 0
            switch offset {
            case 0 where divisorAccess: return UInt8(truncatingIfNeeded: state.divisor)
            case 1 where divisorAccess: return UInt8(truncatingIfNeeded: state.divisor >> 8)
            case 0:
                let byte = pop(&state)
                hasRoom = state.count == 0
                update(&state)
                return byte
            case 1: return state.interruptEnable
            case 2:
                let identification = identification(state)
                if identification == 0x2 { state.transmitEmptyPending = false }
                update(&state)
                return identification | (state.fifoEnabled ? 0xc0 : 0)
            case 3: return state.lineControl
            case 4: return state.modemControl
            case 5:
                // Holding register and transmitter are always empty (bits 5 and 6).
                let status: UInt8 = 0x60 | (state.count > 0 ? 1 : 0) | (state.overrun ? 2 : 0)
                state.overrun = false
                update(&state)
                return status
            case 6: return modemStatus(state)
            default: return state.scratch
            }
        }
        if hasRoom { backend.receiverHasRoom() }
        return UInt64(value)
    }

    public override func write(region: Int, offset: UInt64, width: Int, value: UInt64) {
        guard width == 1 else { return }
        let byte = UInt8(truncatingIfNeeded: value)
        let sends = state.withLock { state -> Bool in
            let divisorAccess = state.lineControl & 0x80 != 0
            var sends = false
            switch offset {
            case 0 where divisorAccess: state.divisor = state.divisor & 0xff00 | UInt16(byte)
            case 1 where divisorAccess: state.divisor = state.divisor & 0x00ff | UInt16(byte) << 8
            case 0:
                if state.modemControl & 0x10 != 0 { loopBack(byte, &state) } else { sends = true }
                state.transmitEmptyPending = true
            case 1:
                // Enabling the transmitter interrupt while the transmitter is empty raises it.
                if byte & 2 != 0, state.interruptEnable & 2 == 0 { state.transmitEmptyPending = true }
                state.interruptEnable = byte & 0x0f
            case 2:
                state.fifoEnabled = byte & 1 != 0
                if byte & 2 != 0 { (state.first, state.count) = (0, 0) }
            case 3: state.lineControl = byte
            case 4: state.modemControl = byte & 0x1f
            case 7: state.scratch = byte
            default: break
            }
            update(&state)
            return sends
        }
        if sends {
            let one: InlineArray<1, UInt8> = [byte]
            backend.transmit(one.span)
        }
    }

    private func loopBack(_ byte: UInt8, _ state: inout State) {
        if state.count < Self.fifoSize { push(byte, &state) } else { state.overrun = true }
    }

    private func modemStatus(_ state: State) -> UInt8 {
        // In loop mode the outputs show up as inputs; otherwise the peer is there: DCD, DSR and CTS.
        guard state.modemControl & 0x10 != 0 else { return 0xb0 }
        let control = state.modemControl
        return (control & 2) << 3 | (control & 1) << 5 | (control & 4) << 4 | (control & 8) << 4
    }

    /// Interrupt identification, highest priority first; 1 is none.
    private func identification(_ state: State) -> UInt8 {
        if state.interruptEnable & 4 != 0, state.overrun { return 0x6 }
        if state.interruptEnable & 1 != 0, state.count > 0 { return 0x4 }
        if state.interruptEnable & 2 != 0, state.transmitEmptyPending { return 0x2 }
        return 0x1
    }

    /// Drives the wire; under the lock, so that changes reach the controller in order. OUT2 (bit 3 of modem control)
    /// gates the interrupt on a PC, but drivers that poll leave it off and some guests never set it: it is ignored.
    private func update(_ state: inout State) {
        let level = identification(state) != 1
        if level != state.line {
            state.line = level
            interrupt.set(level)
        }
    }
}
