/// Registers (Linux, drivers/message/fusion/lsi/mpi.h).
enum MPTRegister {
    static let doorbell: UInt64 = 0x00
    static let writeSequence: UInt64 = 0x04
    static let diagnostic: UInt64 = 0x08
    static let interruptStatus: UInt64 = 0x30
    /// Ones keep interrupts back.
    static let interruptMask: UInt64 = 0x34
    /// Written: the address of a request.
    static let requestQueue: UInt64 = 0x40
    /// Read: the next reply. Written: the address of memory for a reply.
    static let replyQueue: UInt64 = 0x44
}

/// Bits of the interrupt registers.
enum MPTInterrupt {
    static let doorbell: UInt32 = 1 << 0
    static let reply: UInt32 = 1 << 3
    static let all = doorbell | reply
}

/// Bits of the doorbell register.
enum MPTDoorbell {
    static let active: UInt32 = 1 << 27
    static let whoShift: UInt32 = 24
    static let functionShift: UInt32 = 24
    static let wordsShift: UInt32 = 16
}

/// What the controller is doing, in the doorbell register's highest bits.
enum MPTState {
    static let ready: UInt32 = 0x1000_0000
    static let operational: UInt32 = 0x2000_0000
    static let fault: UInt32 = 0x4000_0000
}

/// Bits of the diagnostic register.
enum MPTDiagnostic {
    static let resetAdapter: UInt32 = 1 << 2
    static let writeEnabled: UInt32 = 1 << 7
    /// What is written in a row to enable writes.
    static let keys: [UInt32] = [4, 11, 2, 7, 13]
}

/// Functions of messages and of the doorbell.
enum MPTFunction {
    static let scsiIO: UInt8 = 0x00
    static let taskManagement: UInt8 = 0x01
    static let initialize: UInt8 = 0x02
    static let controllerFacts: UInt8 = 0x03
    static let config: UInt8 = 0x04
    static let portFacts: UInt8 = 0x05
    static let portEnable: UInt8 = 0x06
    static let eventNotification: UInt8 = 0x07
    static let eventAcknowledge: UInt8 = 0x08
    static let raidPassthrough: UInt8 = 0x16
    static let sasControl: UInt8 = 0x1b
    static let messageUnitReset: UInt8 = 0x40
    static let unitReset: UInt8 = 0x41
    static let handshake: UInt8 = 0x42
}

/// How a message ended (IOCStatus).
enum MPTStatus {
    static let success: UInt16 = 0x0000
    static let invalidFunction: UInt16 = 0x0001
    static let invalidList: UInt16 = 0x0003
    static let insufficientResources: UInt16 = 0x0006
    static let invalidField: UInt16 = 0x0007
    static let invalidState: UInt16 = 0x0008
    static let invalidConfigAction: UInt16 = 0x0020
    static let invalidConfigType: UInt16 = 0x0021
    static let invalidConfigPage: UInt16 = 0x0022
    static let configCannotCommit: UInt16 = 0x0025
    static let invalidBus: UInt16 = 0x0041
    static let invalidTarget: UInt16 = 0x0042
    static let deviceNotThere: UInt16 = 0x0043
    static let dataOverrun: UInt16 = 0x0044
    static let dataUnderrun: UInt16 = 0x0045
    static let taskTerminated: UInt16 = 0x0048
}

/// Bits of a reply's SCSIState.
enum MPTSCSIState {
    static let autosenseValid: UInt8 = 0x01
    static let noStatus: UInt8 = 0x04
    static let terminated: UInt8 = 0x08
}

/// Events that the driver is told.
enum MPTEvent {
    static let change: UInt32 = 0x0a
    static let sasDeviceStatusChange: UInt32 = 0x0f
    static let deviceAdded: UInt8 = 3
    static let deviceGone: UInt8 = 4
}

/// Scatter-gather elements: flags in bits 31:24, length or chain offset below.
enum MPTElement {
    static let typeMask: UInt32 = 0x3000_0000
    static let simple: UInt32 = 0x1000_0000
    static let chain: UInt32 = 0x3000_0000
    static let last: UInt32 = 0x8000_0000
    static let wide: UInt32 = 0x0200_0000
    static let endOfList: UInt32 = 0x0100_0000
    static let lengthMask: UInt32 = 0x00ff_ffff
}
