import DeviceModel

/// The controller's registers below the doorbells (NVM Express 1.4, section 3.1). Plain values: what a snapshot saves.
struct NVMeRegisters {
    enum Offset {
        static let capabilities: UInt64 = 0x00
        static let version: UInt64 = 0x08
        static let interruptMaskSet: UInt64 = 0x0c
        static let interruptMaskClear: UInt64 = 0x10
        static let configuration: UInt64 = 0x14
        static let status: UInt64 = 0x1c
        static let adminQueueAttributes: UInt64 = 0x24
        static let adminSubmissionQueue: UInt64 = 0x28
        static let adminCompletionQueue: UInt64 = 0x30
        static let end: UInt64 = 0x38
        /// Doorbells: four bytes each, first a queue's tail, then its head.
        static let doorbells: UInt64 = 0x1000
    }

    /// What a write leads to.
    enum Action: Equatable {
        case none
        case enable
        case disable
        /// Orderly or not: it makes no difference to us.
        case shutDown
        case interruptMask
    }

    /// Largest queue, in entries.
    static let queueSizeMax: UInt32 = 1024
    /// NVM Express 1.4.0.
    static let version: UInt32 = 0x0001_0400
    /// MQES in 15:0, CQR (queues are contiguous) in 16, TO of 20 s in 31:24, DSTRD 0 in 35:32, NVM command set in 37, MPSMIN
    /// and MPSMAX of 4 KiB in 55:48.
    static let capabilities: UInt64 = UInt64(queueSizeMax - 1) | 1 << 16 | 40 << 24 | 1 << 37

    /// Bits of the configuration register (CC).
    enum Configuration {
        static let enable: UInt32 = 1
        /// Shutdown notification.
        static let shutdown: UInt32 = 3 << 14
        /// Bits that exist: EN, CSS, MPS, AMS, SHN, IOSQES, IOCQES.
        static let mask: UInt32 = 0x00ff_fff1
        /// CSS, MPS and AMS, of which only zero is offered: the NVM command set, pages of 4 KiB, round robin.
        static let choices: UInt32 = 0x3ff0
    }

    /// Bits of the status register (CSTS).
    enum Status {
        static let ready: UInt32 = 1
        static let fatal: UInt32 = 1 << 1
        static let shutdown: UInt32 = 3 << 2
        static let shutdownComplete: UInt32 = 2 << 2
    }

    var interruptMask: UInt32 = 0
    var configuration: UInt32 = 0
    var status: UInt32 = 0
    var adminQueueAttributes: UInt32 = 0
    var adminSubmissionQueue: UInt64 = 0
    var adminCompletionQueue: UInt64 = 0

    var isEnabled: Bool { configuration & Configuration.enable != 0 }
    /// Entries of the admin submission queue.
    var adminSubmissionSize: UInt32 { (adminQueueAttributes & 0xfff) + 1 }
    /// Entries of the admin completion queue.
    var adminCompletionSize: UInt32 { (adminQueueAttributes >> 16 & 0xfff) + 1 }
    /// Whether the driver set the entry sizes that I/O queues have: 64 and 16 bytes.
    var hasEntrySizes: Bool { configuration >> 16 & 0xff == 0x46 }
    /// Whether what was chosen before enabling can be served.
    var isSensible: Bool {
        configuration & Configuration.choices == 0 && adminSubmissionSize > 1 && adminCompletionSize > 1
            && adminSubmissionQueue != 0 && adminCompletionQueue != 0
    }

    /// Reads 1 to 8 bytes. Reserved registers read as zero.
    func read(_ offset: UInt64, width: Int) -> UInt64 {
        let shift = 8 &* (offset & 3)
        let low = word(offset & ~3)
        let wide = width > 4 || shift > 0 ? UInt64(word((offset & ~3) &+ 4)) &<< 32 : 0
        return ((wide | UInt64(low)) &>> shift) & allOnes(width: width)
    }

    private func word(_ offset: UInt64) -> UInt32 {
        switch offset {
        case Offset.capabilities: UInt32(truncatingIfNeeded: Self.capabilities)
        case Offset.capabilities + 4: UInt32(truncatingIfNeeded: Self.capabilities >> 32)
        case Offset.version: Self.version
        case Offset.interruptMaskSet, Offset.interruptMaskClear: interruptMask
        case Offset.configuration: configuration
        case Offset.status: status
        case Offset.adminQueueAttributes: adminQueueAttributes
        case Offset.adminSubmissionQueue: UInt32(truncatingIfNeeded: adminSubmissionQueue)
        case Offset.adminSubmissionQueue + 4: UInt32(truncatingIfNeeded: adminSubmissionQueue >> 32)
        case Offset.adminCompletionQueue: UInt32(truncatingIfNeeded: adminCompletionQueue)
        case Offset.adminCompletionQueue + 4: UInt32(truncatingIfNeeded: adminCompletionQueue >> 32)
        default: 0
        }
    }

    /// Writes whole registers of four bytes, or two at once; anything else is dropped.
    mutating func write(_ offset: UInt64, width: Int, value: UInt64) -> Action {
        guard offset & 3 == 0, width == 4 || width == 8 else { return .none }
        let action = set(offset, UInt32(truncatingIfNeeded: value))
        guard width == 8 else { return action }
        let second = set(offset &+ 4, UInt32(truncatingIfNeeded: value >> 32))
        return action == .none ? second : action
    }

    private mutating func set(_ offset: UInt64, _ value: UInt32) -> Action {
        switch offset {
        case Offset.interruptMaskSet:
            interruptMask |= value
            return .interruptMask
        case Offset.interruptMaskClear:
            interruptMask &= ~value
            return .interruptMask
        case Offset.configuration: return configure(value & Configuration.mask)
        case Offset.adminQueueAttributes where !isEnabled: adminQueueAttributes = value & 0x0fff_0fff
        // Queues begin on a page.
        case Offset.adminSubmissionQueue where !isEnabled: Self.set(low: &adminSubmissionQueue, value & ~0xfff)
        case Offset.adminSubmissionQueue + 4 where !isEnabled: Self.set(high: &adminSubmissionQueue, value)
        case Offset.adminCompletionQueue where !isEnabled: Self.set(low: &adminCompletionQueue, value & ~0xfff)
        case Offset.adminCompletionQueue + 4 where !isEnabled: Self.set(high: &adminCompletionQueue, value)
        default: break
        }
        return .none
    }

    private static func set(low field: inout UInt64, _ value: UInt32) {
        field = field & ~0xffff_ffff | UInt64(value)
    }

    private static func set(high field: inout UInt64, _ value: UInt32) {
        field = field & 0xffff_ffff | UInt64(value) << 32
    }

    private mutating func configure(_ value: UInt32) -> Action {
        let before = configuration
        configuration = value
        let wasEnabled = before & Configuration.enable != 0
        if wasEnabled != isEnabled {
            if isEnabled { status &= ~Status.shutdown }
            return isEnabled ? .enable : .disable
        }
        return before & Configuration.shutdown == 0 && value & Configuration.shutdown != 0 ? .shutDown : .none
    }

    /// A controller reset: everything but the admin queues' places (section 7.3.2).
    mutating func resetController() {
        interruptMask = 0
        status = 0
    }
}
