import DeviceModel
import GuestMemory

/// One command of a port's list, from when it is taken until it is completed.
struct AHCISlot: ~Copyable {
    /// How the command ends.
    enum Ending {
        /// With a register FIS.
        case plain
        /// With a PIO setup FIS before that.
        case pioIn
        /// With a device bits FIS that it may share with others.
        case queued
        /// As `plain`, with the interrupt reason of packets.
        case packet
    }

    /// The most pieces of memory that a command may have. Linux uses up to 168.
    static let segmentsMax = 1024

    var segments: SegmentList
    var command: ATACommand
    var ending = Ending.plain
    /// Where the command's header is.
    var header: GuestAddress = 0
    var operation = BlockOperation.flush
    var isInFlight = false
    /// For trimming: which range is next, of how many.
    var rangeNext = 0
    var rangeCount = 0

    init(_ ram: GuestRAM, _ command: ATACommand) {
        segments = SegmentList(ram, limit: Self.segmentsMax)
        self.command = command
    }
}

extension SegmentList {
    /// Length of an entry of a command's table of memory.
    private static var entrySize: UInt64 { 16 }

    /// Fills the list from a command's physical region descriptors (AHCI 1.3.1, section 4.2.3.3), up to `length` bytes.
    ///
    /// - Parameters:
    ///   - table: where the descriptors begin.
    ///   - entries: how many there are, at most 65535.
    /// - Throws: if the table or the memory is not guest RAM, or too scattered. What there is may be shorter than `length`.
    mutating func fill(
        _ ram: GuestRAM, table: GuestAddress, entries: Int, length: Int
    ) throws(Fault) {
        clear()
        if length == 0 || entries == 0 { return }
        guard let base = unsafe ram.pointer(at: table, count: entries &* Int(Self.entrySize)) else { throw .address }
        for index in 0..<entries {
            let entry = unsafe base + index &* Int(Self.entrySize)
            let address = unsafe UInt64(littleEndian: entry.loadUnaligned(as: UInt64.self)) & ~1
            let word = unsafe UInt32(littleEndian: entry.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
            // The length counts from zero and is even.
            let piece = Int(word & 0x3f_ffff | 1) &+ 1
            try append(address, min(piece, length &- byteCount))
            if byteCount == length { return }
        }
    }
}
