/// A client broke the protocol, and its connection ends.
package enum RFBError: Error, Equatable, CustomStringConvertible {
    case version
    case securityType(UInt8)
    case authentication
    case message(UInt8)
    case pixelFormat
    case tooLong(Int)

    package var description: String {
        switch self {
        case .version: "it speaks no version of RFB"
        case .securityType(let type): "it wants security type \(type), which was not offered"
        case .authentication: "its password is wrong"
        case .message(let type): "it sent a message of type \(type), which nobody announced"
        case .pixelFormat: "it wants pixels of a form that does not exist"
        case .tooLong(let count): "it sent a list of \(count) entries"
        }
    }
}

/// What a client did that concerns others.
package enum RFBEvent: Equatable {
    /// It is through the handshake. Unless it shares the screen, the other clients have to go.
    case joined(isShared: Bool)
    case key(KeyEvent)
    case pointer(PointerEvent)
}

/// The server's end of one connection of the remote framebuffer protocol (RFC 6143; versions 3.3, 3.7 and 3.8): bytes come in, events and
/// bytes go out. It knows neither sockets nor time, and holds a bounded number of bytes whatever the client does.
package struct RFBSession {
    /// What a client has to do to be let in.
    package enum Security: Sendable {
        case none
        /// Answer a challenge with a password (section 7.2.2).
        case password(challenge: [UInt8], expected: [UInt8])
    }

    private enum Phase: Equatable {
        case version
        case securityType
        case response
        case initialisation
        case running
        /// Bytes of a clipboard text that nobody wants.
        case skipping(Int)
    }

    package static let version = Array("RFB 003.008\n".utf8)
    /// More encodings than this are no list of encodings.
    static let encodingsMax = 1024

    private let security: Security
    private let name: String
    private var phase = Phase.version
    private var minorVersion = 8
    private var input: [UInt8] = []
    /// To be sent; the owner takes it away.
    package var output: [UInt8] = RFBSession.version
    var updates: RFBUpdates

    /// - Parameters:
    ///   - name: of the screen, shown as a title.
    ///   - width: of the screen now.
    ///   - height: the same.
    package init(name: String, security: Security, width: Int, height: Int) {
        self.name = name
        self.security = security
        updates = RFBUpdates(width: width, height: height)
    }

    /// Whether the client is through the handshake.
    package var isRunning: Bool {
        switch phase {
        case .running, .skipping: true
        default: false
        }
    }

    /// Takes what the client sent, and tells `handle` what it means.
    ///
    /// - Throws: if it broke the protocol. What is in `output` then tells it why and can still be sent.
    package mutating func receive(_ bytes: [UInt8], _ handle: (RFBEvent) -> Void) throws(RFBError) {
        input += bytes
        var used = 0
        defer { input.removeFirst(used) }
        while true {
            let taken = try step(input[used...], handle)
            if taken == 0 { return }
            used += taken
        }
    }

    /// Takes one thing from the start of `bytes`.
    ///
    /// - Returns: how many bytes it took; zero if more have to come first.
    private mutating func step(_ bytes: ArraySlice<UInt8>, _ handle: (RFBEvent) -> Void) throws(RFBError) -> Int {
        switch phase {
        case .version: return try takeVersion(bytes)
        case .securityType:
            guard let type = bytes.first else { return 0 }
            guard type == securityType else {
                fail("this security type was not offered")
                throw .securityType(type)
            }
            beginSecurity()
            return 1
        case .response:
            guard bytes.count >= 16 else { return 0 }
            guard case .password(_, let expected) = security, Self.areEqual(bytes.prefix(16), expected[...]) else {
                append(big32: 1)
                if minorVersion >= 8 { append(reason: "wrong password") }
                throw .authentication
            }
            append(big32: 0)
            phase = .initialisation
            return 16
        case .initialisation:
            guard let shared = bytes.first else { return 0 }
            append(big16: updates.width)
            append(big16: updates.height)
            output += PixelFormat.native.bytes
            append(reason: name)
            phase = .running
            handle(.joined(isShared: shared != 0))
            return 1
        case .running: return try takeMessage(bytes, handle)
        case .skipping(let count):
            let taken = min(count, bytes.count)
            phase = taken == count ? .running : .skipping(count - taken)
            return taken
        }
    }

    // MARK: Handshake (section 7.1 and 7.2)

    private var securityType: UInt8 {
        switch security {
        case .none: 1
        case .password: 2
        }
    }

    private mutating func takeVersion(_ bytes: ArraySlice<UInt8>) throws(RFBError) -> Int {
        guard bytes.count >= 12 else { return 0 }
        let text = Array(bytes.prefix(12))
        guard text.starts(with: "RFB ".utf8), text[7] == UInt8(ascii: "."), text[11] == 0x0a,
            let major = Self.number(text[4..<7]), let minor = Self.number(text[8..<11]), major >= 3
        else { throw .version }
        // Versions that were never published count as 3.3 (section 7.1.1); those of the future as what we offered.
        minorVersion = major > 3 || minor >= 8 ? 8 : minor == 7 ? 7 : 3
        if minorVersion == 3 {
            append(big32: UInt32(securityType))
            beginSecurity()
        } else {
            output += [1, securityType]
            phase = .securityType
        }
        return 12
    }

    private mutating func beginSecurity() {
        switch security {
        case .none:
            // Before 3.8, no result is sent if there is nothing to get wrong.
            if minorVersion >= 8 { append(big32: 0) }
            phase = .initialisation
        case .password(let challenge, _):
            output += challenge
            phase = .response
        }
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        var value = 0
        for digit in digits {
            guard (0x30...0x39).contains(digit) else { return nil }
            value = value * 10 + Int(digit - 0x30)
        }
        return value
    }

    /// Compares without telling by its duration how far two texts agree.
    private static func areEqual(_ one: ArraySlice<UInt8>, _ other: ArraySlice<UInt8>) -> Bool {
        guard one.count == other.count else { return false }
        return zip(one, other).reduce(UInt8(0)) { $0 | $1.0 ^ $1.1 } == 0
    }

    private mutating func fail(_ reason: String) {
        append(big32: 1)
        if minorVersion >= 8 { append(reason: reason) }
    }

    // MARK: Messages of the client (section 7.5, and the extensions we announce)

    private mutating func takeMessage(
        _ bytes: ArraySlice<UInt8>, _ handle: (RFBEvent) -> Void
    ) throws(RFBError) -> Int {
        guard let type = bytes.first else { return 0 }
        func byte(_ offset: Int) -> UInt8 { bytes[bytes.startIndex + offset] }
        func big16(_ offset: Int) -> Int { Int(byte(offset)) << 8 | Int(byte(offset + 1)) }
        func big32(_ offset: Int) -> UInt32 { UInt32(big16(offset)) << 16 | UInt32(big16(offset + 2)) }
        switch type {
        case 0:  // SetPixelFormat
            guard bytes.count >= 20 else { return 0 }
            guard let format = PixelFormat(bytes: bytes.dropFirst(4).prefix(16)) else { throw .pixelFormat }
            updates.setFormat(format)
            return 20
        case 2:  // SetEncodings
            guard bytes.count >= 4 else { return 0 }
            let count = big16(2)
            guard count <= Self.encodingsMax else { throw .tooLong(count) }
            guard bytes.count >= 4 + 4 * count else { return 0 }
            updates.setEncodings((0..<count).map { Int32(bitPattern: big32(4 + 4 * $0)) })
            return 4 + 4 * count
        case 3:  // FramebufferUpdateRequest
            guard bytes.count >= 10 else { return 0 }
            let area = PixelRect(x: big16(2), y: big16(4), width: big16(6), height: big16(8))
            updates.request(area, isIncremental: byte(1) != 0)
            return 10
        case 4:  // KeyEvent
            guard bytes.count >= 8 else { return 0 }
            let keysym = big32(4)
            let scancode = USKeyboard.scancode(for: keysym)
            handle(.key(KeyEvent(scancode: scancode, keysym: keysym, isDown: byte(1) != 0)))
            return 8
        case 5:  // PointerEvent
            guard bytes.count >= 6 else { return 0 }
            let (width, height) = (updates.width, updates.height)
            let pointer = PointerEvent(
                x: min(big16(2), width - 1), y: min(big16(4), height - 1), width: width, height: height,
                buttons: PointerButtons(rawValue: byte(1)))
            handle(.pointer(pointer))
            return 6
        case 6:  // ClientCutText
            guard bytes.count >= 8 else { return 0 }
            let count = Int(big32(4))
            if count > 0 { phase = .skipping(count) }
            return 8
        case 251:  // SetDesktopSize, of ExtendedDesktopSize
            guard bytes.count >= 8 else { return 0 }
            let count = 8 + 16 * Int(byte(6))
            guard bytes.count >= count else { return 0 }
            updates.refuseResize()
            return count
        case 255:  // QEMU's messages; the extended key event is the only one announced
            guard bytes.count >= 2 else { return 0 }
            guard byte(1) == 0 else { throw .message(type) }
            guard bytes.count >= 12 else { return 0 }
            let keysym = big32(4)
            // Numbers of more than eight bits are keys that no PC has; zero is a key the client has no number for.
            let number = UInt8(exactly: big32(8)).flatMap { $0 == 0 ? nil : $0 }
            let scancode = number.map { Scancode($0) } ?? USKeyboard.scancode(for: keysym)
            handle(.key(KeyEvent(scancode: scancode, keysym: keysym, isDown: big16(2) != 0)))
            return 12
        default: throw .message(type)
        }
    }

    // MARK: Writing

    private mutating func append(big16 value: Int) {
        output.append(UInt8(truncatingIfNeeded: value >> 8))
        output.append(UInt8(truncatingIfNeeded: value))
    }

    private mutating func append(big32 value: UInt32) {
        append(big16: Int(value >> 16))
        append(big16: Int(value & 0xffff))
    }

    private mutating func append(reason: String) {
        let text = Array(reason.utf8)
        append(big32: UInt32(text.count))
        output += text
    }

    // MARK: The screen

    /// The picture became another one.
    package mutating func screenChanged(_ change: ScreenChange, width: Int, height: Int) {
        updates.screenChanged(change, width: width, height: height)
    }

    /// Makes as much of an update as there is reason and room for.
    package mutating func makeUpdate(from surface: Surface) {
        if isRunning { updates.write(surface, to: &output) }
    }
}
