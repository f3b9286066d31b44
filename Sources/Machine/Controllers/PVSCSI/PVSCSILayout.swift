import DeviceModel
import GuestMemory

/// Registers in BAR 0 (Linux, drivers/scsi/vmw_pvscsi.h).
enum PVSCSIRegister {
    static let command: UInt64 = 0x0000
    /// The words of a command's descriptor, one after another.
    static let commandData: UInt64 = 0x0004
    static let commandStatus: UInt64 = 0x0008
    /// Write ones to clear.
    static let interruptStatus: UInt64 = 0x100c
    /// Ones let interrupts through.
    static let interruptMask: UInt64 = 0x2010
    static let kickOther: UInt64 = 0x3014
    static let kickTransfer: UInt64 = 0x4018
    /// Length of the BAR.
    static let barSize: UInt64 = 32 << 10
}

/// Bits of the interrupt registers.
enum PVSCSIInterrupt {
    static let completion: UInt32 = 1 << 0
    static let message: UInt32 = 1 << 2
    static let all: UInt32 = 0xf
}

enum PVSCSICommandCode {
    static let adapterReset: UInt32 = 1
    static let setUpRings: UInt32 = 3
    static let resetBus: UInt32 = 4
    static let resetDevice: UInt32 = 5
    static let abort: UInt32 = 6
    static let setUpMessageRing: UInt32 = 8
}

/// How the adapter says that a request did not get through; the rest is the target's (BusLogic's codes).
enum PVSCSIHostStatus {
    static let success: UInt16 = 0x00
    static let noTarget: UInt16 = 0x11
    static let overrun: UInt16 = 0x12
    static let invalid: UInt16 = 0x1a
    static let busReset: UInt16 = 0x25
    static let aborted: UInt16 = 0x26
}

/// A request of the ring, copied once. 128 bytes: context u64, data address u64 and length u64, sense address u64 and length u32,
/// flags u32, CDB of 16 bytes at 40, its length u8 at 56, LUN of 8 bytes, tag u8, bus u8 at 66, target u8 at 67.
struct PVSCSIRequest: BitwiseCopyable {
    static let size = 128

    enum Flag {
        /// The data address is that of a list.
        static let list: UInt32 = 1 << 0
        /// The CDB is elsewhere; not offered.
        static let outOfBand: UInt32 = 1 << 1
        static let toHost: UInt32 = 1 << 3
        static let toDevice: UInt32 = 1 << 4
    }

    var context: UInt64 = 0
    var data: GuestAddress = 0
    var dataCount: UInt64 = 0
    var sense: GuestAddress = 0
    var senseCount: UInt32 = 0
    var flags: UInt32 = 0
    var command = SCSICommand(high: 0, low: 0)
    /// The unit's number, as SAM-5, section 4.7, codes it: all zero is the first.
    var unit: UInt64 = 0
    var bus: UInt8 = 0
    var target: UInt8 = 0

    init() {}

    /// - Parameter entry: 128 bytes.
    @unsafe @inline(__always) init(at entry: UnsafeRawPointer) {
        func load<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ type: T.Type = T.self) -> T {
            unsafe T(littleEndian: entry.loadUnaligned(fromByteOffset: offset, as: T.self))
        }
        context = load(0)
        data = load(8)
        dataCount = load(16)
        sense = load(24)
        senseCount = load(32)
        flags = load(36)
        command = SCSICommand(high: load(40, UInt64.self).byteSwapped, low: load(48, UInt64.self).byteSwapped)
        unit = load(57)
        bus = load(66)
        target = load(67)
    }

    var direction: SCSISlot.Direction {
        flags & Flag.toHost != 0 ? .toHost : flags & Flag.toDevice != 0 ? .toDevice : .none
    }
}

extension SegmentList {
    /// Elements of a list that are looked at, chains and empty ones included.
    private static var elementsMax: Int { 2 * SCSISlot.segmentsMax }

    /// Fills the list from a request's data buffer.
    ///
    /// A list's elements are of 16 bytes: address u64, length u32, flags u32, of which bit 0 says that the list goes on there.
    ///
    /// - Returns: false if the list or the memory is not guest RAM, ends early or is too scattered.
    mutating func fill(_ ram: GuestRAM, _ request: PVSCSIRequest) -> Bool {
        clear()
        guard request.dataCount > 0, request.direction != .none else { return true }
        guard request.dataCount <= UInt64(UInt32.max) else { return false }
        let length = Int(request.dataCount)
        if request.flags & PVSCSIRequest.Flag.list == 0 { return (try? append(request.data, length)) != nil }
        var address = request.data
        for _ in 0..<Self.elementsMax {
            guard let entry = unsafe ram.pointer(at: address, count: 16) else { return false }
            let start = unsafe UInt64(littleEndian: entry.loadUnaligned(as: UInt64.self))
            let count = unsafe UInt32(littleEndian: entry.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
            let flags = unsafe UInt32(littleEndian: entry.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
            if flags & 1 != 0 {
                address = start
                continue
            }
            address = address &+ 16
            if count == 0 { continue }
            guard (try? append(start, min(Int(count), length &- byteCount))) != nil else { return false }
            if byteCount == length { return true }
        }
        return false
    }
}
