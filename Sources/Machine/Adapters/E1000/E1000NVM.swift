import NetEngine

/// The non-volatile memory of a card: 64 words, and the two ways drivers read it.
struct E1000NVM: Sendable {
    static let wordCount = 64
    /// What all words add up to (8254x manual, section 5.6.35).
    private static let checksum: UInt16 = 0xbaba

    /// Bits of the control register (8254x manual, section 13.4.3).
    private enum Control {
        static let clock: UInt32 = 1 << 0
        static let select: UInt32 = 1 << 1
        static let dataIn: UInt32 = 1 << 2
        static let dataOut: UInt32 = 1 << 3
        static let request: UInt32 = 1 << 6
        static let grant: UInt32 = 1 << 7
        static let present: UInt32 = 1 << 8
        /// 82574: what the hardware reads by itself has been read.
        static let autoReadDone: UInt32 = 1 << 9
    }

    /// Microwire: a start bit, two bits of operation code and six of address.
    private static let commandLength = 9
    private static let readCommand: UInt16 = 0b110

    let words: [UInt16]
    private let model: E1000Model
    private var control: UInt32 = 0
    private var read: UInt32 = 0
    /// Bits of a command that came in since the chip was selected.
    private var shifted: UInt16 = 0
    private var shiftedCount = 0
    private var isDataOut = true

    init(_ address: MACAddress, _ model: E1000Model) {
        self.model = model
        var words = [UInt16](repeating: 0xffff, count: Self.wordCount)
        for index in 0..<3 { words[index] = UInt16(address[2 * index]) | UInt16(address[2 * index + 1]) << 8 }
        words[3] = 0
        // LED settings: the hardware's own (82574, section 6.1.1.5).
        words[4] = model == .e1000 ? 0xffff : 0xf746
        words[0x0a] = 0x4408  // initialization control 1: subsystem identifiers are loaded from here
        words[0x0b] = model.subsystem
        words[0x0c] = 0x15ad
        words[0x0d] = model.device
        words[0x0e] = 0x8086
        words[0x0f] = 0x1000  // initialization control 2: no manageability
        words[0x14] = 0
        words[0x24] = 0  // no wake-up
        let sum = words.dropLast().reduce(0 as UInt16) { $0 &+ $1 }
        words[Self.wordCount - 1] = Self.checksum &- sum
        self.words = words
    }

    private func word(_ index: Int) -> UInt16 { index >= 0 && index < words.count ? words[index] : 0xffff }

    // MARK: The read register

    var readRegister: UInt32 { read }

    mutating func writeReadRegister(_ value: UInt32) {
        let isOld = model == .e1000
        let index = Int(isOld ? value >> 8 & 0xff : value >> 2 & 0x3fff)
        guard value & 1 != 0 else {
            read = value
            return
        }
        let done: UInt32 = isOld ? 1 << 4 : 1 << 1
        read = value & 0xffff & ~1 | done | UInt32(word(index)) << 16
    }

    // MARK: The control register

    var controlRegister: UInt32 {
        var value = control & (Control.clock | Control.select | Control.dataIn | Control.request) | Control.present
        if control & Control.request != 0 { value |= Control.grant }
        if model == .e1000 {
            if isDataOut { value |= Control.dataOut }
        } else {
            value |= Control.autoReadDone
        }
        return value
    }

    mutating func writeControlRegister(_ value: UInt32) {
        let before = control
        control = value
        guard value & Control.select != 0 else {
            shifted = 0
            shiftedCount = 0
            isDataOut = true
            return
        }
        guard before & Control.clock == 0, value & Control.clock != 0 else { return }
        if shiftedCount < Self.commandLength {
            // Zeros before the start bit are no part of the command.
            let bit: UInt16 = value & Control.dataIn != 0 ? 1 : 0
            if shiftedCount == 0, bit == 0 { return }
            shifted = shifted << 1 | bit
            shiftedCount += 1
            // A zero goes before the word.
            if shiftedCount == Self.commandLength { isDataOut = shifted >> 6 != Self.readCommand }
        } else if shifted >> 6 == Self.readCommand {
            let bit = (shiftedCount - Self.commandLength) & 15
            isDataOut = word(Int(shifted & 0x3f)) << UInt16(bit) & 0x8000 != 0
            shiftedCount += 1
        }
    }
}
