/// The doorbell's handshake: a driver gives a message word by word, and reads the reply half a word at a time.
struct MPTDoorbellPort {
    private enum Phase: Equatable {
        case idle
        case receiving
        case replying
    }

    private var phase = Phase.idle
    private var needed = 0
    private var words: [UInt32] = []
    private var reply: [UInt8] = []
    private var next = 0
    /// How many of the diagnostic register's keys were written.
    private var keys = 0
    private(set) var isDiagnosticEnabled = false

    /// What a write to the doorbell asks for.
    enum Request {
        case none
        case messageUnitReset
        case unitReset
        /// The driver will give a message.
        case handshake
        case message(MPTMessage)
    }

    var isActive: Bool { phase != .idle }
    /// While a reply is read, its interrupt stays.
    var isReplying: Bool { phase == .replying }

    mutating func write(_ value: UInt32) -> Request {
        if phase == .receiving {
            words.append(value)
            guard words.count >= needed else { return .none }
            phase = .idle
            return .message(MPTMessage(words))
        }
        switch UInt8(truncatingIfNeeded: value >> MPTDoorbell.functionShift) {
        case MPTFunction.messageUnitReset:
            reset()
            return .messageUnitReset
        case MPTFunction.unitReset:
            reset()
            return .unitReset
        case MPTFunction.handshake:
            needed = Int(value >> MPTDoorbell.wordsShift & 0xff)
            words.removeAll(keepingCapacity: true)
            phase = needed > 0 ? .receiving : .idle
            return .handshake
        default: return .none
        }
    }

    mutating func answer(_ bytes: [UInt8]) {
        reply = bytes
        next = 0
        phase = .replying
    }

    /// The register's data bits: the next half word of the reply; nil if there is no reply.
    mutating func read() -> UInt32? {
        guard phase == .replying else { return nil }
        guard next + 1 < reply.count else { return 0 }
        defer { next += 2 }
        return UInt32(reply[next]) | UInt32(reply[next + 1]) << 8
    }

    /// The driver has taken the doorbell's interrupt.
    ///
    /// - Returns: whether it is gone.
    mutating func acknowledge() -> Bool {
        guard phase == .replying else { return true }
        if next + 1 >= reply.count { phase = .idle }
        return false
    }

    mutating func reset() {
        phase = .idle
        words = []
        reply = []
    }

    /// The sequence register was written: the keys in a row let the diagnostic register be written, anything else ends that.
    mutating func writeKey(_ value: UInt32) {
        let key = value & 0xf
        if !isDiagnosticEnabled && keys < MPTDiagnostic.keys.count && key == MPTDiagnostic.keys[keys] {
            keys += 1
            if keys == MPTDiagnostic.keys.count {
                isDiagnosticEnabled = true
                keys = 0
            }
        } else {
            isDiagnosticEnabled = false
            keys = 0
        }
    }
}
