/// A command descriptor block of up to 16 bytes (SPC-4, section 4.2), copied once. Bytes beyond its end are zero.
public struct SCSICommand: Equatable, Sendable, BitwiseCopyable {
    /// Bytes 0 to 7 and 8 to 15, the first in the highest bits.
    private var high: UInt64 = 0
    private var low: UInt64 = 0

    /// - Parameter bytes: at most 16 are looked at.
    public init(_ bytes: [UInt8]) {
        for (index, byte) in bytes.prefix(16).enumerated() { set(index, byte) }
    }

    /// - Parameter words: the block as two integers, its first byte in the highest bits of the first.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    private mutating func set(_ index: Int, _ byte: UInt8) {
        let shift = UInt64(56 - 8 * (index & 7))
        if index < 8 { high |= UInt64(byte) << shift } else { low |= UInt64(byte) << shift }
    }

    /// A byte; 0 to 15.
    @inline(__always) public subscript(index: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: (index < 8 ? high : low) &>> UInt64(truncatingIfNeeded: 56 &- 8 &* (index & 7)))
    }

    public var opcode: UInt8 { self[0] }

    func big16(_ index: Int) -> UInt16 { UInt16(self[index]) << 8 | UInt16(self[index + 1]) }
    func big24(_ index: Int) -> UInt32 { UInt32(self[index]) << 16 | UInt32(big16(index + 1)) }
    func big32(_ index: Int) -> UInt32 { UInt32(big16(index)) << 16 | UInt32(big16(index + 2)) }
    func big64(_ index: Int) -> UInt64 { UInt64(big32(index)) << 32 | UInt64(big32(index + 4)) }
}

/// Operation codes (SPC-4, SBC-3, MMC-6).
enum SCSIOpcode {
    static let testUnitReady: UInt8 = 0x00
    static let requestSense: UInt8 = 0x03
    static let read6: UInt8 = 0x08
    static let write6: UInt8 = 0x0a
    static let inquiry: UInt8 = 0x12
    static let modeSelect6: UInt8 = 0x15
    static let reserve6: UInt8 = 0x16
    static let release6: UInt8 = 0x17
    static let modeSense6: UInt8 = 0x1a
    static let startStopUnit: UInt8 = 0x1b
    static let preventAllowRemoval: UInt8 = 0x1e
    static let readCapacity10: UInt8 = 0x25
    static let read10: UInt8 = 0x28
    static let write10: UInt8 = 0x2a
    static let seek10: UInt8 = 0x2b
    static let verify10: UInt8 = 0x2f
    static let synchronizeCache10: UInt8 = 0x35
    static let writeSame10: UInt8 = 0x41
    /// Of a disk; a CD drive has READ SUB-CHANNEL here.
    static let unmap: UInt8 = 0x42
    static let readTOC: UInt8 = 0x43
    static let getConfiguration: UInt8 = 0x46
    static let getEventStatus: UInt8 = 0x4a
    static let readDiscInformation: UInt8 = 0x51
    static let modeSelect10: UInt8 = 0x55
    static let modeSense10: UInt8 = 0x5a
    static let read16: UInt8 = 0x88
    static let write16: UInt8 = 0x8a
    static let verify16: UInt8 = 0x8f
    static let synchronizeCache16: UInt8 = 0x91
    static let writeSame16: UInt8 = 0x93
    static let serviceActionIn16: UInt8 = 0x9e
    static let reportLUNs: UInt8 = 0xa0
    static let read12: UInt8 = 0xa8
    static let write12: UInt8 = 0xaa
    static let verify12: UInt8 = 0xaf
    static let setCDSpeed: UInt8 = 0xbb
    static let mechanismStatus: UInt8 = 0xbd
    static let readCD: UInt8 = 0xbe

    /// The service action of SERVICE ACTION IN (16) that reads the capacity.
    static let readCapacity16: UInt8 = 0x10
}
