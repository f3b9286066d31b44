/// A PS/2 keyboard with 101 or more keys (IBM PS/2 Hardware Interface Technical Reference, "Keyboards").
///
/// It sends scan code set 2 unless told to use set 1; set 3, which no PC system asks for, is refused. It does not repeat
/// keys by itself: whoever types repeats them. The typematic rate is taken and changes nothing.
struct PS2Keyboard: Sendable, BitwiseCopyable {
    /// Codes of keys, and answers, which go first.
    private var keys = PS2Queue()
    private var replies = PS2Queue()
    /// The set in use: 1 or 2.
    private(set) var scanCodeSet: UInt8 = 2
    /// Whether it sends keys.
    private(set) var isScanning = true
    /// Bit 0 is scroll lock, 1 num lock, 2 caps lock.
    private(set) var leds: UInt8 = 0
    /// Whether the guest has spoken to it.
    private(set) var wasAddressed = false
    /// A command that waits for its argument.
    private var pending: UInt8?
    private var last: UInt8 = 0
    /// Keys whose press was sent and whose release was not.
    private var held = KeySet()
    /// Held keys that were released when there was no room for the code; so that no key stays down for ever.
    private var owed = KeySet()

    private enum Command {
        static let setLEDs: UInt8 = 0xed
        static let echo: UInt8 = 0xee
        static let selectSet: UInt8 = 0xf0
        static let identify: UInt8 = 0xf2
        static let setTypematic: UInt8 = 0xf3
        static let enable: UInt8 = 0xf4
        static let disable: UInt8 = 0xf5
        static let setDefaults: UInt8 = 0xf6
        /// Kinds of keys in set 3; the last two take keys as arguments, which are acknowledged like commands.
        static let setThreeOnly: ClosedRange<UInt8> = 0xf7...0xfa
        static let resend: UInt8 = 0xfe
        static let reset: UInt8 = 0xff
    }

    // MARK: Keys

    /// A key goes down, again if it is down already, or up. What does not fit is dropped, a key as a whole.
    mutating func key(_ key: KeyCode, down: Bool) {
        if down {
            guard isScanning, !owed[key], send(key, down: true) else { return }
            // Pause has no release code: its sequence says both.
            held[key] = key != .pause || isControlHeld
        } else if held[key] {
            if send(key, down: false) { held[key] = false } else { owed[key] = true }
        }
    }

    private var isControlHeld: Bool { held[.leftControl] || held[.rightControl] }

    private mutating func send(_ key: KeyCode, down: Bool) -> Bool {
        if key == .pause, down, !isControlHeld { return sendPause() }
        let code = scanCodeSet == 1 ? key.base : ScanCodes.set2(of: key.base)
        // Some numbers are no key of set 2.
        guard code != 0 else { return true }
        let length = 1 + (key.isExtended ? 1 : 0) + (!down && scanCodeSet == 2 ? 1 : 0)
        guard keys.room >= length else { return false }
        if key.isExtended { keys.push(0xe0) }
        if scanCodeSet == 1 {
            keys.push(down ? code : code | 0x80)
        } else {
            if !down { keys.push(0xf0) }
            // Ctrl and Pause is Break, which is E0 7E in set 2, as the table says.
            keys.push(code)
        }
        return true
    }

    private mutating func sendPause() -> Bool {
        let set1: InlineArray<6, UInt8> = [0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5]
        let set2: InlineArray<8, UInt8> = [0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77]
        if scanCodeSet == 1 {
            guard keys.room >= set1.count else { return false }
            for index in set1.indices { keys.push(set1[index]) }
        } else {
            guard keys.room >= set2.count else { return false }
            for index in set2.indices { keys.push(set2[index]) }
        }
        return true
    }

    /// Whether there is room for the longest code, that of Pause.
    var hasRoomForKey: Bool { keys.room >= 8 }

    /// The controller takes the next byte.
    mutating func take() -> UInt8? {
        guard let byte = replies.pop() ?? keys.pop() else { return nil }
        last = byte
        while let key = owed.first, send(key, down: false) {
            owed[key] = false
            held[key] = false
        }
        return byte
    }

    // MARK: Commands

    private mutating func reply(_ byte: UInt8) { replies.push(byte) }

    private mutating func forgetKeys() {
        keys.removeAll()
        held = KeySet()
        owed = KeySet()
    }

    /// The guest sends a byte.
    mutating func write(_ byte: UInt8) {
        wasAddressed = true
        replies.removeAll()
        if let command = pending {
            pending = nil
            // Arguments are below 0x80 or so; a command in place of one is a command.
            if byte < Command.setLEDs { return argument(byte, of: command) }
        }
        self.command(byte)
    }

    private mutating func argument(_ byte: UInt8, of command: UInt8) {
        switch command {
        case Command.setLEDs:
            leds = byte & 7
            reply(PS2Reply.acknowledge)
        case Command.selectSet:
            switch byte {
            case 0:
                reply(PS2Reply.acknowledge)
                reply(scanCodeSet)
            case 1, 2:
                scanCodeSet = byte
                reply(PS2Reply.acknowledge)
            default: reply(PS2Reply.resend)
            }
        default: reply(PS2Reply.acknowledge)
        }
    }

    private mutating func command(_ byte: UInt8) {
        switch byte {
        case Command.setLEDs, Command.selectSet, Command.setTypematic:
            pending = byte
            reply(PS2Reply.acknowledge)
        case Command.echo: reply(PS2Reply.echo)
        case Command.identify:
            reply(PS2Reply.acknowledge)
            reply(0xab)
            reply(0x83)
        case Command.enable:
            forgetKeys()
            isScanning = true
            reply(PS2Reply.acknowledge)
        case Command.disable, Command.setDefaults:
            setDefaults()
            isScanning = byte == Command.setDefaults
            reply(PS2Reply.acknowledge)
        case Command.setThreeOnly: reply(PS2Reply.acknowledge)
        case Command.resend: reply(last)
        case Command.reset:
            setDefaults()
            leds = 0
            isScanning = true
            reply(PS2Reply.acknowledge)
            reply(PS2Reply.selfTestPassed)
        default: reply(PS2Reply.resend)
        }
    }

    private mutating func setDefaults() {
        forgetKeys()
        scanCodeSet = 2
    }
}
