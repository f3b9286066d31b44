/// The adapter's memory as its registers reach it: bounds are checked at each access.
///
/// The four planes lie beside each other: byte n of plane p is byte 4n + p, so one 32-bit word holds what the latches take. Modes
/// that chain planes use the same bytes in a row: chain 4 as they are, odd and even two by two.
@safe struct VideoMemory: @unchecked Sendable {
    // @unchecked: memory shared with the guest; racing accesses are the hardware's semantics.

    private let base: UnsafeMutableRawPointer
    /// Bytes; a multiple of four.
    let count: Int

    /// - Parameter base: valid for `count` bytes for as long as this value is used.
    @unsafe init(base: UnsafeMutableRawPointer, count: Int) {
        unsafe self.base = base
        self.count = count & ~3
    }

    /// One byte of each plane at a plane address; nil outside.
    @inline(__always)
    func planes(_ index: Int) -> UInt32? {
        guard index >= 0, index < count >> 2 else { return nil }
        return unsafe UInt32(littleEndian: base.load(fromByteOffset: index << 2, as: UInt32.self))
    }

    /// Writes the bytes of the planes that are all ones in `mask`.
    @inline(__always)
    func setPlanes(_ index: Int, _ value: UInt32, mask: UInt32) -> Bool {
        guard let old = planes(index) else { return false }
        let new = old & ~mask | value & mask
        unsafe base.storeBytes(of: new.littleEndian, toByteOffset: index << 2, as: UInt32.self)
        return true
    }

    @inline(__always)
    func byte(_ offset: Int) -> UInt8? {
        guard offset >= 0, offset < count else { return nil }
        return unsafe base.load(fromByteOffset: offset, as: UInt8.self)
    }

    @inline(__always)
    func setByte(_ offset: Int, _ value: UInt8) -> Bool {
        guard offset >= 0, offset < count else { return false }
        unsafe base.storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
        return true
    }

    /// Zeros the part of a range that lies inside.
    func clear(_ range: Range<Int>) {
        let inside = range.clamped(to: 0..<count)
        unsafe UnsafeMutableRawBufferPointer(start: base + inside.lowerBound, count: inside.count)
            .initializeMemory(as: UInt8.self, repeating: 0)
    }

    /// The bytes of a range; what lies outside is cut off.
    @_lifetime(borrow self)
    func bytes(_ range: Range<Int>) -> RawSpan {
        let inside = range.clamped(to: 0..<count)
        let span = unsafe RawSpan(_unsafeStart: base + inside.lowerBound, byteCount: inside.count)
        return unsafe _overrideLifetime(span, borrowing: self)
    }
}

/// What the processor sees at A0000 to BFFFF.
extension VGARegisters {
    /// First address of the window and its length.
    static let windowStart: UInt64 = 0xa_0000
    static let windowCount: UInt64 = 0x2_0000

    /// A window that is memory as it is, without registers in between.
    private var isLinear: Bool { dispi.isOn && dispi.depth >= 8 }

    /// Where in the memory an offset from A0000 lies, as an address before planes are told apart; nil if nothing answers there.
    private func address(_ offset: Int) -> Int? {
        if dispi.isOn { return offset < 0x1_0000 ? Int(dispi.bank) << 16 + offset : nil }
        guard miscellaneous & 2 != 0 else { return nil }
        switch graphics[6] >> 2 & 3 {
        case 0: return offset
        case 1: return offset < 0x1_0000 ? offset : nil
        case 2: return (0x1_0000..<0x1_8000).contains(offset) ? offset - 0x1_0000 : nil
        default: return offset >= 0x1_8000 ? offset - 0x1_8000 : nil
        }
    }

    /// The window as a plain mapping: which bytes of the video memory lie at which guest address; nil if registers come between.
    func directWindow(memory: Int) -> DirectWindow? {
        guard isLinear || isChained && sequencer[2] == 0x0f, !dispi.isOn || isLinear else { return nil }
        let start = dispi.isOn ? 0 : graphics[6] >> 2 & 3 == 3 ? 0x1_8000 : graphics[6] >> 2 & 3 == 2 ? 0x1_0000 : 0
        guard let target = address(start) else { return nil }
        let count = start != 0 ? 0x8000 : dispi.isOn || graphics[6] >> 2 & 3 == 1 ? 0x1_0000 : 0x2_0000
        guard target <= memory - count else { return nil }
        return DirectWindow(guestAddress: Self.windowStart + UInt64(start), offset: target, count: count)
    }

    /// Reads a byte and fills the latches.
    mutating func readWindow(_ offset: Int, _ memory: VideoMemory) -> UInt8 {
        guard let address = address(offset) else { return 0xff }
        if isLinear { return memory.byte(address) ?? 0xff }
        if isChained {
            latches = memory.planes(address >> 2) ?? latches
            return memory.byte(address) ?? 0xff
        }
        let isOddEven = graphics[5] & 0x10 != 0
        guard let word = memory.planes(isOddEven ? address >> 1 : address) else { return 0xff }
        latches = word
        if graphics[5] & 0x08 == 0 {
            let plane = isOddEven ? graphics[4] & 2 | UInt8(address & 1) : graphics[4] & 3
            return UInt8(truncatingIfNeeded: word >> (8 * UInt32(plane)))
        }
        // Colour compare: a one for each pixel whose considered planes have the wanted bits.
        let difference = (word ^ Self.spread(graphics[2])) & Self.spread(graphics[7])
        let folded = difference | difference >> 16
        return ~UInt8(truncatingIfNeeded: folded | folded >> 8)
    }

    /// Writes a byte.
    ///
    /// - Returns: the bytes of the memory that may have changed.
    mutating func writeWindow(_ offset: Int, _ value: UInt8, _ memory: VideoMemory) -> Range<Int>? {
        guard let address = address(offset) else { return nil }
        if isLinear { return memory.setByte(address, value) ? address..<address + 1 : nil }
        if isChained {
            guard sequencer[2] & 1 << UInt8(address & 3) != 0 else { return nil }
            return memory.setByte(address, value) ? address..<address + 1 : nil
        }
        let isOddEven = sequencer[4] & 0x04 == 0
        let planes = isOddEven ? sequencer[2] & (address & 1 == 0 ? 0b0101 : 0b1010) : sequencer[2]
        guard planes != 0 else { return nil }
        let index = isOddEven ? address >> 1 : address
        guard memory.setPlanes(index, combined(value), mask: Self.spread(planes)) else { return nil }
        return index << 2..<index << 2 + 4
    }

    /// What a written byte becomes on its way through the graphics controller, for all planes.
    private func combined(_ value: UInt8) -> UInt32 {
        let rotation = graphics[3] & 7
        let rotated = value >> rotation | (rotation == 0 ? 0 : value << (8 - rotation))
        var mask = UInt32(graphics[8]) &* 0x0101_0101
        var data: UInt32
        switch graphics[5] & 3 {
        case 0:
            let fromReset = Self.spread(graphics[1])
            data = UInt32(rotated) &* 0x0101_0101 & ~fromReset | Self.spread(graphics[0]) & fromReset
        case 1: return latches
        case 2: data = Self.spread(value)
        default:
            mask &= UInt32(rotated) &* 0x0101_0101
            data = Self.spread(graphics[0])
        }
        switch graphics[3] >> 3 & 3 {
        case 1: data &= latches
        case 2: data |= latches
        case 3: data ^= latches
        default: break
        }
        return data & mask | latches & ~mask
    }

    /// Four bits as four bytes of all ones or zeros.
    static func spread(_ bits: UInt8) -> UInt32 {
        let bits = UInt32(bits)
        return ((bits & 1) | (bits & 2) << 7 | (bits & 4) << 14 | (bits & 8) << 21) &* 0xff
    }
}

/// A part of the legacy window that is plain video memory at present.
public struct DirectWindow: Sendable, Equatable {
    /// Where the guest sees it.
    public var guestAddress: UInt64
    /// Where it begins in the video memory, in bytes.
    public var offset: Int
    /// Bytes.
    public var count: Int

    public init(guestAddress: UInt64, offset: Int, count: Int) {
        self.guestAddress = guestAddress
        self.offset = offset
        self.count = count
    }
}
