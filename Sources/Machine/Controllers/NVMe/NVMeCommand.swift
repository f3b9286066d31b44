/// A submission queue entry (NVM Express 1.4, section 4.2), the fields that are used, copied once.
@safe struct NVMeCommand: BitwiseCopyable {
    /// Length of an entry in bytes.
    static let size = 64

    /// Opcode in bits 7:0, fused operation in 9:8, kind of data pointer in 15:14, command identifier in 31:16.
    var word0: UInt32
    var namespace: UInt32
    /// The data pointer: two physical region page entries.
    var pointer1: UInt64
    var pointer2: UInt64
    var word10: UInt32
    var word11: UInt32
    var word12: UInt32
    var word13: UInt32

    /// - Parameter entry: 64 bytes of guest memory.
    @unsafe @inline(__always)
    init(at entry: UnsafeRawPointer) {
        let first = unsafe UInt64(littleEndian: entry.loadUnaligned(as: UInt64.self))
        word0 = UInt32(truncatingIfNeeded: first)
        namespace = UInt32(truncatingIfNeeded: first &>> 32)
        pointer1 = unsafe UInt64(littleEndian: entry.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
        pointer2 = unsafe UInt64(littleEndian: entry.loadUnaligned(fromByteOffset: 32, as: UInt64.self))
        let low = unsafe UInt64(littleEndian: entry.loadUnaligned(fromByteOffset: 40, as: UInt64.self))
        let high = unsafe UInt64(littleEndian: entry.loadUnaligned(fromByteOffset: 48, as: UInt64.self))
        word10 = UInt32(truncatingIfNeeded: low)
        word11 = UInt32(truncatingIfNeeded: low &>> 32)
        word12 = UInt32(truncatingIfNeeded: high)
        word13 = UInt32(truncatingIfNeeded: high &>> 32)
    }

    var opcode: UInt8 { UInt8(truncatingIfNeeded: word0) }
    var identifier: UInt16 { UInt16(truncatingIfNeeded: word0 &>> 16) }
    /// Neither one of a fused pair nor with scatter-gather lists: we offer neither.
    var isPlain: Bool { word0 & 0xc300 == 0 }
    /// Words 10 and 11 as the starting logical block.
    var startingBlock: UInt64 { UInt64(word11) &<< 32 | UInt64(word10) }
    /// Bits 15:0 of word 12, which count from zero.
    var blockCount: UInt64 { UInt64(word12 & 0xffff) &+ 1 }
}

/// Admin commands (section 5).
enum NVMeAdminOpcode {
    static let deleteSubmissionQueue: UInt8 = 0x00
    static let createSubmissionQueue: UInt8 = 0x01
    static let getLogPage: UInt8 = 0x02
    static let deleteCompletionQueue: UInt8 = 0x04
    static let createCompletionQueue: UInt8 = 0x05
    static let identify: UInt8 = 0x06
    static let abort: UInt8 = 0x08
    static let setFeatures: UInt8 = 0x09
    static let getFeatures: UInt8 = 0x0a
    static let asynchronousEventRequest: UInt8 = 0x0c
    static let doorbellBufferConfig: UInt8 = 0x7c
}

/// Commands of the NVM command set (section 6).
enum NVMeOpcode {
    static let flush: UInt8 = 0x00
    static let write: UInt8 = 0x01
    static let read: UInt8 = 0x02
    static let writeZeroes: UInt8 = 0x08
    static let datasetManagement: UInt8 = 0x09
}

/// How a command ended: bits 14:0 of the completion's status field without the phase (section 4.6.1): status code in 7:0,
/// status code type in 10:8, do not retry in 14.
struct NVMeStatus: Equatable, BitwiseCopyable {
    var rawValue: UInt16

    private init(_ type: UInt16, _ code: UInt16, retry: Bool = false) {
        rawValue = type << 8 | code | (retry ? 0 : 1 << 14)
    }

    private init() { rawValue = 0 }

    static let success = NVMeStatus()
    // Generic command status.
    static let invalidOpcode = NVMeStatus(0, 0x01)
    static let invalidField = NVMeStatus(0, 0x02)
    static let dataTransferError = NVMeStatus(0, 0x04)
    static let abortedByQueueDeletion = NVMeStatus(0, 0x08, retry: true)
    static let invalidNamespace = NVMeStatus(0, 0x0b)
    static let commandSequence = NVMeStatus(0, 0x0c)
    static let invalidPageOffset = NVMeStatus(0, 0x13)
    static let writeProtected = NVMeStatus(0, 0x20)
    static let outOfRange = NVMeStatus(0, 0x80)
    static let capacityExceeded = NVMeStatus(0, 0x81)
    // Command specific status.
    static let invalidCompletionQueue = NVMeStatus(1, 0x00)
    static let invalidQueueIdentifier = NVMeStatus(1, 0x01)
    static let invalidQueueSize = NVMeStatus(1, 0x02)
    static let tooManyEventRequests = NVMeStatus(1, 0x05)
    static let invalidInterruptVector = NVMeStatus(1, 0x08)
    static let invalidLogPage = NVMeStatus(1, 0x09)
    static let invalidQueueDeletion = NVMeStatus(1, 0x0c)
    static let notSaveable = NVMeStatus(1, 0x0d)
    static let notChangeable = NVMeStatus(1, 0x0e)
    // Media and data integrity errors.
    static let writeFault = NVMeStatus(2, 0x80, retry: true)
    static let readError = NVMeStatus(2, 0x81, retry: true)
}
