public import DeviceModel
public import Linux
import Synchronization

/// The i8042 keyboard controller with a PS/2 keyboard and a PS/2 mouse (IBM PS/2 Hardware Interface Technical Reference,
/// "Keyboard and auxiliary device controller"; Intel 8242 data sheet): ports 0x60 and 0x64, interrupts 1 and 12.
///
/// Commands are done at once, so the input buffer is never full. The A20 gate is a bit that reads back; the gate itself is
/// always open.
public final class KeyboardController: BusDevice, @unchecked Sendable {
    // @unchecked: all state is immutable or guarded by a mutex.

    /// Region numbers and ports to map it with, a byte each; what lies between is not ours.
    public static let dataRegion = 0
    public static let commandRegion = 1
    public static let dataPort: UInt64 = 0x60
    public static let commandPort: UInt64 = 0x64
    /// Global system interrupts.
    public static let keyboardInterrupt: UInt32 = 1
    public static let mouseInterrupt: UInt32 = 12

    /// How long a byte may wait before the guest counts as not listening.
    private static let patience: UInt64 = 300_000_000

    /// What there is to remember; a snapshot would save it.
    struct State: Sendable, BitwiseCopyable {
        var keyboard = PS2Keyboard()
        var mouse = PS2Mouse()
        /// As firmware leaves it, for guests that start without: translated keys, interrupts, system flag.
        var configuration = Configuration.initial
        /// Bit 0 is the reset line (1 is no reset), 1 the A20 gate.
        var outputPort: UInt8 = 3
        /// A command of port 0x64 that waits for its byte at port 0x60.
        var pending: UInt8?
        /// The output buffer, and whether it holds something.
        var output: UInt8 = 0
        var isFull = false
        var isFromMouse = false
        /// The last write went to port 0x64.
        var lastWasCommand = true
        /// An answer of the controller itself that waits for the output buffer.
        var reply: UInt8?
        /// ... and is to look as if the mouse sent it.
        var replyIsFromMouse = false
    }

    /// Bits of the configuration byte.
    enum Configuration {
        static let keyboardInterrupt: UInt8 = 1 << 0
        static let mouseInterrupt: UInt8 = 1 << 1
        static let system: UInt8 = 1 << 2
        static let keyboardOff: UInt8 = 1 << 4
        static let mouseOff: UInt8 = 1 << 5
        static let translate: UInt8 = 1 << 6
        static let initial = translate | system | mouseInterrupt | keyboardInterrupt
    }

    private struct Lines {
        var keyboard = false
        var mouse = false
        /// When the byte in the output buffer was put there.
        var fullSince: UInt64 = 0
    }

    private struct Guarded {
        var state = State()
        var lines = Lines()
    }

    private let guarded = Mutex(Guarded())
    private let keyboardLine: any InterruptLine
    private let mouseLine: any InterruptLine
    private let resetMachine: @Sendable () -> Void
    private let now: @Sendable () -> UInt64

    /// - Parameters:
    ///   - reset: the guest pulses the reset line; called on a vCPU thread.
    ///   - now: nanoseconds that never step; another clock for tests.
    public init(
        keyboard: any InterruptLine, mouse: any InterruptLine, reset: @escaping @Sendable () -> Void,
        now: @escaping @Sendable () -> UInt64 = monotonicNanoseconds
    ) {
        keyboardLine = keyboard
        mouseLine = mouse
        resetMachine = reset
        self.now = now
    }

    /// Back to power-on.
    public func reset() { change { $0 = State() } }

    // MARK: Input

    /// A key goes down (again, if it is repeated) or up. From any thread. What the guest does not fetch is dropped.
    public func key(_ key: KeyCode, down: Bool) { change { $0.keyboard.key(key, down: down) } }

    /// The mouse moves or a button changes. From any thread.
    ///
    /// - Parameters:
    ///   - x: counts to the right.
    ///   - y: counts downwards.
    ///   - wheel: notches away from the user.
    public func move(x: Int, y: Int, wheel: Int, buttons: PointerButtons) {
        change { $0.mouse.move(x: x, y: y, wheel: wheel, buttons: buttons) }
    }

    /// Whether the guest drives the keyboard: it has spoken to it, lets it send, and fetches what it sends.
    public var isKeyboardInUse: Bool {
        guarded.withLock { guarded in
            let state = guarded.state
            guard state.keyboard.wasAddressed, state.keyboard.isScanning else { return false }
            guard state.configuration & Configuration.keyboardOff == 0 else { return false }
            return !state.isFull || now() &- guarded.lines.fullSince < Self.patience
        }
    }

    /// Whether the guest has told the mouse to report.
    public var isMouseInUse: Bool { guarded.withLock { $0.state.mouse.isReporting } }

    /// Whether the keyboard has room for any key's code.
    public var hasRoomForKey: Bool { guarded.withLock { $0.state.keyboard.hasRoomForKey } }

    /// The keyboard's lights: bit 0 scroll lock, 1 num lock, 2 caps lock.
    public var leds: UInt8 { guarded.withLock { $0.state.keyboard.leds } }

    // MARK: Ports

    public override func read(region: Int, offset: UInt64, width: Int) -> UInt64 {
        guard width == 1 else { return allOnes(width: width) }
        if region == Self.commandRegion { return UInt64(guarded.withLock { status($0.state) }) }
        return guarded.withLock { guarded in
            let byte = guarded.state.output
            if guarded.state.isFull {
                guarded.state.isFull = false
                // The wires fall before the next byte raises one again: they are edges to the guest.
                drive(&guarded)
                refill(&guarded)
            }
            return UInt64(byte)
        }
    }

    public override func write(region: Int, offset: UInt64, width: Int, value: UInt64) {
        guard width == 1 else { return }
        let byte = UInt8(truncatingIfNeeded: value)
        var asksForReset = false
        change { state in
            state.lastWasCommand = region == Self.commandRegion
            if region == Self.commandRegion {
                asksForReset = command(byte, &state)
            } else {
                asksForReset = data(byte, &state)
            }
        }
        if asksForReset { resetMachine() }
    }

    private func status(_ state: State) -> UInt8 {
        // Bit 4: the keyboard is not locked.
        var status: UInt8 = 0x10 | state.configuration & Configuration.system
        if state.isFull { status |= state.isFromMouse ? 0x21 : 0x01 }
        if state.lastWasCommand { status |= 0x08 }
        return status
    }

    // MARK: Commands

    private enum Command {
        static let readConfiguration: UInt8 = 0x20
        static let writeConfiguration: UInt8 = 0x60
        static let testPassword: UInt8 = 0xa4
        static let mouseOff: UInt8 = 0xa7
        static let mouseOn: UInt8 = 0xa8
        static let testMouse: UInt8 = 0xa9
        static let selfTest: UInt8 = 0xaa
        static let testKeyboard: UInt8 = 0xab
        static let keyboardOff: UInt8 = 0xad
        static let keyboardOn: UInt8 = 0xae
        static let readInputPort: UInt8 = 0xc0
        static let readOutputPort: UInt8 = 0xd0
        static let writeOutputPort: UInt8 = 0xd1
        static let writeKeyboardOutput: UInt8 = 0xd2
        static let writeMouseOutput: UInt8 = 0xd3
        static let writeMouse: UInt8 = 0xd4
        static let closeA20: UInt8 = 0xdd
        static let openA20: UInt8 = 0xdf
        /// Pulses the output port's bits that are zero in the low four.
        static let pulse: ClosedRange<UInt8> = 0xf0...0xff
    }

    /// - Returns: whether the machine is to be reset.
    private func command(_ byte: UInt8, _ state: inout State) -> Bool {
        state.pending = nil
        switch byte {
        case Command.readConfiguration: answer(state.configuration, &state)
        case Command.writeConfiguration, Command.writeOutputPort, Command.writeKeyboardOutput,
            Command.writeMouseOutput, Command.writeMouse:
            state.pending = byte
        case Command.testPassword: answer(0xf1, &state)
        case Command.mouseOff: state.configuration |= Configuration.mouseOff
        case Command.mouseOn: state.configuration &= ~Configuration.mouseOff
        case Command.testMouse, Command.testKeyboard: answer(0, &state)
        case Command.selfTest:
            state.configuration |= Configuration.system
            answer(0x55, &state)
        case Command.keyboardOff: state.configuration |= Configuration.keyboardOff
        case Command.keyboardOn: state.configuration &= ~Configuration.keyboardOff
        // Bit 7: the keyboard is not locked.
        case Command.readInputPort: answer(0x80, &state)
        case Command.readOutputPort:
            let full: UInt8 = state.isFull ? (state.isFromMouse ? 0x20 : 0x10) : 0
            answer(state.outputPort | full, &state)
        case Command.closeA20: state.outputPort &= ~2
        case Command.openA20: state.outputPort |= 2
        case Command.pulse: return byte & 1 == 0
        default: break
        }
        return false
    }

    /// The controller's own answer; it replaces one that was not fetched, and goes before what the devices have.
    private func answer(_ byte: UInt8, _ state: inout State, fromMouse: Bool = false) {
        state.reply = byte
        state.replyIsFromMouse = fromMouse
    }

    private func data(_ byte: UInt8, _ state: inout State) -> Bool {
        let pending = state.pending
        state.pending = nil
        switch pending {
        case Command.writeConfiguration: state.configuration = byte & ~0x80
        case Command.writeOutputPort:
            state.outputPort = byte & 2 | 1
            return byte & 1 == 0
        case Command.writeKeyboardOutput: answer(byte, &state)
        case Command.writeMouseOutput: answer(byte, &state, fromMouse: true)
        case Command.writeMouse:
            // Speaking to a device switches it on.
            state.configuration &= ~Configuration.mouseOff
            state.mouse.write(byte)
        default:
            state.configuration &= ~Configuration.keyboardOff
            state.keyboard.write(byte)
        }
        return false
    }

    // MARK: Output buffer and interrupts (under the lock, so that changes reach the controller in order)

    private func change(_ body: (inout State) -> Void) {
        guarded.withLock { guarded in
            body(&guarded.state)
            refill(&guarded)
        }
    }

    /// Fills the output buffer if it is empty, and drives the wires.
    private func refill(_ guarded: inout Guarded) {
        if !guarded.state.isFull, let (byte, isFromMouse) = next(&guarded.state) {
            guarded.state.output = byte
            guarded.state.isFromMouse = isFromMouse
            guarded.state.isFull = true
            guarded.lines.fullSince = now()
        }
        drive(&guarded)
    }

    private func next(_ state: inout State) -> (UInt8, fromMouse: Bool)? {
        if let reply = state.reply {
            state.reply = nil
            return (reply, state.replyIsFromMouse)
        }
        if state.configuration & Configuration.keyboardOff == 0, let byte = keyboardByte(&state) {
            return (byte, false)
        }
        if state.configuration & Configuration.mouseOff == 0, let byte = state.mouse.take() { return (byte, true) }
        return nil
    }

    /// The keyboard's next byte, translated if the guest wants that: F0 and a code become the code with bit 7.
    private func keyboardByte(_ state: inout State) -> UInt8? {
        guard let byte = state.keyboard.take() else { return nil }
        guard state.configuration & Configuration.translate != 0 else { return byte }
        // A code follows F0 at once: the keyboard never queues one without the other.
        if byte == 0xf0 { return state.keyboard.take().map { ScanCodes.translated($0) | 0x80 } }
        return ScanCodes.translated(byte)
    }

    private func drive(_ guarded: inout Guarded) {
        let state = guarded.state
        let keyboard =
            state.isFull && !state.isFromMouse && state.configuration & Configuration.keyboardInterrupt != 0
        let mouse = state.isFull && state.isFromMouse && state.configuration & Configuration.mouseInterrupt != 0
        if keyboard != guarded.lines.keyboard {
            guarded.lines.keyboard = keyboard
            keyboardLine.set(keyboard)
        }
        if mouse != guarded.lines.mouse {
            guarded.lines.mouse = mouse
            mouseLine.set(mouse)
        }
    }
}
