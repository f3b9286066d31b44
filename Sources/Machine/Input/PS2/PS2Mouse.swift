/// A PS/2 mouse that becomes, as drivers ask for it, a mouse with a wheel (Microsoft IntelliMouse, identifier 3) or one with
/// a wheel and five buttons (IntelliMouse Explorer, identifier 4): both by a series of sample rates.
///
/// Facts from the IBM PS/2 Hardware Interface Technical Reference ("Auxiliary device") and from what drivers send. Scaling
/// is taken and reported, and changes nothing: the pointer follows that of the console's client.
struct PS2Mouse: Sendable, BitwiseCopyable {
    private(set) var queue = PS2Queue()
    /// 0 plain, 3 wheel, 4 wheel and five buttons.
    private(set) var identifier: UInt8 = 0
    private(set) var isReporting = false
    private var isRemote = false
    private var isWrapping = false
    private var scales = false
    private var resolution: UInt8 = 2
    private var sampleRate: UInt8 = 100
    /// The last two rates before the present one.
    private var earlierRates = (UInt8(0), UInt8(0))
    private var pending: UInt8?
    private var last: UInt8 = 0

    /// Motion that was not sent yet; right and up are positive. A wheel turned up is negative.
    private var x = 0
    private var y = 0
    private var wheel = 0
    private var buttons: PointerButtons = []
    private var reported: PointerButtons = []
    /// A packet was thrown away: the guest may not know the buttons.
    private var lostPacket = false

    /// Motion beyond this is forgotten when the guest does not fetch it: four packets' worth.
    private static let motionMax = 1020
    private static let wheelMax = 32

    private enum Command {
        static let scale1: UInt8 = 0xe6
        static let scale2: UInt8 = 0xe7
        static let setResolution: UInt8 = 0xe8
        static let status: UInt8 = 0xe9
        static let setStreamMode: UInt8 = 0xea
        static let readData: UInt8 = 0xeb
        static let leaveWrapMode: UInt8 = 0xec
        static let setWrapMode: UInt8 = 0xee
        static let setRemoteMode: UInt8 = 0xf0
        static let identify: UInt8 = 0xf2
        static let setSampleRate: UInt8 = 0xf3
        static let enable: UInt8 = 0xf4
        static let disable: UInt8 = 0xf5
        static let setDefaults: UInt8 = 0xf6
        static let resend: UInt8 = 0xfe
        static let reset: UInt8 = 0xff
    }

    // MARK: Motion

    /// The mouse moves or a button changes.
    ///
    /// - Parameters:
    ///   - x: counts to the right.
    ///   - y: counts downwards, as on screens.
    ///   - wheel: notches away from the user.
    mutating func move(x: Int, y: Int, wheel: Int, buttons: PointerButtons) {
        // A press that was not sent yet would be lost when its release comes: give it its packet first.
        if buttons != self.buttons { reportWhatFits() }
        self.x = Self.add(self.x, x, Self.motionMax)
        self.y = Self.add(self.y, -Self.clamped(y, Self.motionMax), Self.motionMax)
        self.wheel = Self.add(self.wheel, -Self.clamped(wheel, Self.wheelMax), Self.wheelMax)
        self.buttons = buttons
        reportWhatFits()
    }

    private static func clamped(_ value: Int, _ limit: Int) -> Int { min(max(value, -limit), limit) }

    private static func add(_ value: Int, _ step: Int, _ limit: Int) -> Int {
        clamped(value + clamped(step, limit), limit)
    }

    private var hasNews: Bool {
        x != 0 || y != 0 || (wheel != 0 && identifier != 0) || buttons != reported || lostPacket
    }
    private var packetLength: Int { identifier == 0 ? 3 : 4 }

    private mutating func reportWhatFits() {
        guard isReporting, !isRemote, !isWrapping else { return }
        // Two packets at most: what the guest does not fetch adds up to one motion instead.
        while hasNews, queue.count + packetLength <= 8 { pushPacket() }
    }

    private mutating func pushPacket() {
        let (stepX, stepY) = (Self.clamped(x, 255), Self.clamped(y, 255))
        x -= stepX
        y -= stepY
        (reported, lostPacket) = (buttons, false)
        queue.push(
            buttons.rawValue & 7 | 8 | (stepX < 0 ? 0x10 : 0) | (stepY < 0 ? 0x20 : 0))
        queue.push(UInt8(truncatingIfNeeded: stepX))
        queue.push(UInt8(truncatingIfNeeded: stepY))
        guard identifier != 0 else {
            wheel = 0
            return
        }
        let notches = Self.clamped(wheel, 7)
        wheel -= notches
        let byte = UInt8(truncatingIfNeeded: notches)
        queue.push(identifier == 3 ? byte : byte & 0xf | (buttons.rawValue & 0x18) << 1)
    }

    /// The controller takes the next byte.
    mutating func take() -> UInt8? {
        guard let byte = queue.pop() else { return nil }
        last = byte
        if queue.count == 0 { reportWhatFits() }
        return byte
    }

    // MARK: Commands

    private mutating func reply(_ byte: UInt8) { queue.push(byte) }

    /// The guest sends a byte.
    mutating func write(_ byte: UInt8) {
        if isWrapping, byte != Command.leaveWrapMode, byte != Command.reset { return reply(byte) }
        // Packets that nobody has fetched would come between a command and its answer.
        lostPacket = queue.count > 0
        queue.removeAll()
        if let command = pending {
            pending = nil
            return argument(byte, of: command)
        }
        self.command(byte)
    }

    private mutating func argument(_ byte: UInt8, of command: UInt8) {
        reply(PS2Reply.acknowledge)
        guard command == Command.setSampleRate else {
            resolution = byte & 3
            return
        }
        switch (earlierRates.0, earlierRates.1, byte) {
        case (200, 100, 80): identifier = 3
        case (200, 200, 80): identifier = 4
        default: break
        }
        earlierRates = (earlierRates.1, byte)
        sampleRate = byte
    }

    private mutating func command(_ byte: UInt8) {
        guard byte >= Command.scale1, byte != 0xed, byte != 0xef, byte != 0xf1, !(0xf7...0xfd).contains(byte) else {
            return reply(PS2Reply.resend)
        }
        if byte == Command.resend { return reply(last) }
        reply(PS2Reply.acknowledge)
        switch byte {
        case Command.scale1: scales = false
        case Command.scale2: scales = true
        case Command.setResolution, Command.setSampleRate: pending = byte
        case Command.status:
            reply(status)
            reply(resolution)
            reply(sampleRate)
        case Command.setStreamMode: isRemote = false
        case Command.readData: pushPacket()
        case Command.leaveWrapMode: isWrapping = false
        case Command.setWrapMode: isWrapping = true
        case Command.setRemoteMode: isRemote = true
        case Command.identify: reply(identifier)
        case Command.enable:
            forgetMotion()
            isReporting = true
        case Command.disable: isReporting = false
        case Command.setDefaults: setDefaults()
        default:
            let present = buttons
            self = PS2Mouse()
            (buttons, reported) = (present, present)
            reply(PS2Reply.acknowledge)
            reply(PS2Reply.selfTestPassed)
            reply(identifier)
        }
    }

    private var status: UInt8 {
        let left: UInt8 = buttons.contains(.left) ? 4 : 0
        let middle: UInt8 = buttons.contains(.middle) ? 2 : 0
        let right: UInt8 = buttons.contains(.right) ? 1 : 0
        return left | middle | right | (scales ? 0x10 : 0) | (isReporting ? 0x20 : 0) | (isRemote ? 0x40 : 0)
    }

    private mutating func forgetMotion() {
        (x, y, wheel) = (0, 0, 0)
        (reported, lostPacket) = (buttons, false)
    }

    private mutating func setDefaults() {
        forgetMotion()
        (resolution, sampleRate, scales, isRemote, isReporting) = (2, 100, false, false, false)
    }
}
