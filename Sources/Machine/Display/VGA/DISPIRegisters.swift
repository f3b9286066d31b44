/// The display interface of Bochs' and QEMU's adapters: sixteen-bit registers for linear modes of any size.
///
/// Numbers and bits are those of Bochs' "VBE Display API", sections 3 and 4, version B0C5.
struct DISPIRegisters: Sendable, Equatable {
    /// What the registers are called, by their index.
    enum Index {
        static let identifier: UInt16 = 0
        static let width: UInt16 = 1
        static let height: UInt16 = 2
        static let depth: UInt16 = 3
        static let enable: UInt16 = 4
        static let bank: UInt16 = 5
        static let virtualWidth: UInt16 = 6
        static let virtualHeight: UInt16 = 7
        static let xOffset: UInt16 = 8
        static let yOffset: UInt16 = 9
        static let memory: UInt16 = 10
    }

    /// Bits of `Index.enable`.
    enum Enable {
        static let on: UInt16 = 0x01
        /// Width, height and depth read as their maxima.
        static let capabilities: UInt16 = 0x02
        static let wideDAC: UInt16 = 0x20
        static let linear: UInt16 = 0x40
        static let keepMemory: UInt16 = 0x80
    }

    /// What the adapter can show and how much memory it has.
    struct Limits: Sendable, Equatable {
        var width: UInt16
        var height: UInt16
        /// Bytes.
        var memory: Int
    }

    static let identifiers: ClosedRange<UInt16> = 0xb0c0...0xb0c5

    var index: UInt16 = 0
    var identifier: UInt16 = 0xb0c5
    var width: UInt16 = 0
    var height: UInt16 = 0
    var depth: UInt16 = 0
    var enable: UInt16 = 0
    /// Which 64 KiB of the memory the window at A0000 shows.
    var bank: UInt16 = 0
    var virtualWidth: UInt16 = 0
    var xOffset: UInt16 = 0
    var yOffset: UInt16 = 0

    var isOn: Bool { enable & Enable.on != 0 }
    var hasWideDAC: Bool { enable & Enable.wideDAC != 0 }

    /// Bits that a pixel takes in memory; four in planes.
    var bitsPerPixel: Int { depth == 15 ? 16 : Int(depth) }

    /// Bytes from one line to the next. At four bits, the planes lie beside each other, so it is the same formula.
    var pitch: Int { Int(virtualWidth) * bitsPerPixel / 8 }

    /// Where the picture begins in the memory, in bytes.
    var start: Int { Int(yOffset) * pitch + Int(xOffset) * bitsPerPixel / 8 }

    /// A read of the register at `index`.
    func read(_ limits: Limits) -> UInt16 {
        let asksCapabilities = enable & Enable.capabilities != 0
        switch index {
        case Index.identifier: return identifier
        case Index.width: return asksCapabilities ? limits.width : width
        case Index.height: return asksCapabilities ? limits.height : height
        case Index.depth: return asksCapabilities ? 32 : depth
        case Index.enable: return enable
        case Index.bank: return bank
        case Index.virtualWidth: return virtualWidth
        case Index.virtualHeight: return virtualHeight(limits)
        case Index.xOffset: return xOffset
        case Index.yOffset: return yOffset
        case Index.memory: return UInt16(clamping: limits.memory >> 16)
        default: return 0
        }
    }

    /// How many lines of the present pitch the memory holds.
    func virtualHeight(_ limits: Limits) -> UInt16 {
        pitch > 0 ? UInt16(clamping: limits.memory / pitch) : 0
    }

    /// A write to the register at `index`. What makes no sense is adjusted or left out, so that the picture always lies inside the
    /// memory.
    ///
    /// - Returns: true if a mode was just switched on whose picture has to be cleared.
    mutating func write(_ value: UInt16, _ limits: Limits) -> Bool {
        switch index {
        case Index.identifier: if Self.identifiers.contains(value) { identifier = value }
        // A mode is set while the interface is off; a change on the run would show parts of two modes.
        case Index.width: if !isOn, value <= limits.width { width = value }
        case Index.height: if !isOn, value <= limits.height { height = value }
        case Index.depth: if !isOn { depth = value == 0 ? 8 : value }
        case Index.enable: return writeEnable(value, limits)
        case Index.bank: if Int(value) < limits.memory >> 16 { bank = value }
        case Index.virtualWidth:
            virtualWidth = value
            if isOn { fit(limits) }
        case Index.xOffset:
            xOffset = value
            if isOn { fit(limits) }
        case Index.yOffset:
            yOffset = value
            if isOn { fit(limits) }
        default: break
        }
        return false
    }

    private mutating func writeEnable(_ value: UInt16, _ limits: Limits) -> Bool {
        let wasOn = isOn
        enable = value & 0xe3
        bank = 0
        guard isOn, !wasOn else { return false }
        guard [4, 8, 15, 16, 24, 32].contains(depth), width > 0, height > 0 else {
            enable &= ~Enable.on
            return false
        }
        virtualWidth = width
        xOffset = 0
        yOffset = 0
        fit(limits)
        return value & Enable.keepMemory == 0
    }

    /// Makes width, height and offsets such that everything visible lies in the memory.
    private mutating func fit(_ limits: Limits) {
        virtualWidth = max(virtualWidth, width)
        if pitch > limits.memory / max(Int(height), 1) { virtualWidth = width }
        if pitch > 0 { height = min(height, UInt16(clamping: limits.memory / pitch)) }
        // The last line may end in the middle of the pitch.
        let visible = Int(height) * pitch
        if start + visible > limits.memory { yOffset = UInt16(clamping: (limits.memory - visible) / max(pitch, 1)) }
        if start + visible > limits.memory { xOffset = 0 }
    }
}
