import DeviceModel

/// The registers of the whole controller (Serial ATA AHCI 1.3.1, section 3.1). Plain values: what a snapshot saves.
struct AHCIRegisters {
    enum Offset {
        static let capabilities: UInt64 = 0x00
        static let control: UInt64 = 0x04
        static let interruptStatus: UInt64 = 0x08
        static let portsImplemented: UInt64 = 0x0c
        static let version: UInt64 = 0x10
        /// The first port's registers; each has as many bytes as `portSize`.
        static let ports: UInt64 = 0x100
    }

    enum Control {
        static let reset: UInt32 = 1
        static let interruptEnable: UInt32 = 1 << 1
        /// Legacy interfaces are not there: this reads as one always.
        static let enable: UInt32 = 1 << 31
    }

    static let portSize: UInt64 = 0x80
    /// AHCI 1.3.
    static let version: UInt32 = 0x0001_0300

    /// Number of ports.
    let portCount: Int
    var interruptEnable = false

    /// NP in 4:0, NCS (32 slots) in 12:8, SSC and PSC absent, PMD absent, SAM (AHCI only) in 18, ISS (6 Gb/s) in 23:20, SCLO in
    /// 24, SNCQ in 30, S64A in 31.
    private var capabilities: UInt32 {
        UInt32(portCount - 1) | 31 << 8 | 1 << 18 | 3 << 20 | 1 << 24 | 1 << 30 | 1 << 31
    }

    /// Reads a register of four bytes.
    ///
    /// - Parameter pending: ports that interrupt.
    func read(_ offset: UInt64, pending: UInt32) -> UInt32 {
        switch offset {
        case Offset.capabilities: capabilities
        case Offset.control: Control.enable | (interruptEnable ? Control.interruptEnable : 0)
        case Offset.interruptStatus: pending
        case Offset.portsImplemented: portCount == 32 ? .max : (1 << UInt32(portCount)) - 1
        case Offset.version: Self.version
        default: 0
        }
    }
}

/// The registers of one port (section 3.3). Plain values: what a snapshot saves.
struct AHCIPortRegisters: BitwiseCopyable {
    enum Offset {
        static let commandList: UInt64 = 0x00
        static let commandListHigh: UInt64 = 0x04
        static let received: UInt64 = 0x08
        static let receivedHigh: UInt64 = 0x0c
        static let interruptStatus: UInt64 = 0x10
        static let interruptEnable: UInt64 = 0x14
        static let command: UInt64 = 0x18
        static let taskFile: UInt64 = 0x20
        static let signature: UInt64 = 0x24
        static let status: UInt64 = 0x28
        static let control: UInt64 = 0x2c
        static let error: UInt64 = 0x30
        static let active: UInt64 = 0x34
        static let issue: UInt64 = 0x38
    }

    /// Bits of the interrupt status (PxIS).
    enum Interrupt {
        static let registers: UInt32 = 1 << 0
        static let pioSetup: UInt32 = 1 << 1
        static let deviceBits: UInt32 = 1 << 3
        static let connectChange: UInt32 = 1 << 6
        static let phyReady: UInt32 = 1 << 22
        static let overflow: UInt32 = 1 << 24
        /// Memory of the driver's structures is not there.
        static let hostBusFatal: UInt32 = 1 << 29
        static let taskFileError: UInt32 = 1 << 30
        static let all: UInt32 = 0xfdc0_00ff
    }

    /// Bits of the command register (PxCMD).
    enum Command {
        static let start: UInt32 = 1 << 0
        static let spinUp: UInt32 = 1 << 1
        static let powerOn: UInt32 = 1 << 2
        /// Command list override: takes BSY and DRQ away.
        static let override: UInt32 = 1 << 3
        static let receiveEnable: UInt32 = 1 << 4
        static let receiveRunning: UInt32 = 1 << 14
        static let listRunning: UInt32 = 1 << 15
        static let isATAPI: UInt32 = 1 << 24
        /// What the driver may set: ST, FRE, ATAPI, DLAE and the power fields of the upper bits, which do nothing.
        static let writable: UInt32 = start | receiveEnable | 0x0300_0000
        /// Always one: the port has power and the device spins.
        static let fixed: UInt32 = spinUp | powerOn
    }

    /// Of PxSERR: the link came up (PhyRdy change), and the device was exchanged.
    static let linkChanges: UInt32 = 1 << 16 | 1 << 26
    /// PxSSTS with a device at 6 Gb/s, active.
    static let connected: UInt32 = 0x133
    /// PxTFD before the device's first FIS.
    static let noTaskFile: UInt32 = 0x7f

    var commandList: UInt64 = 0
    var received: UInt64 = 0
    var interruptStatus: UInt32 = 0
    var interruptEnable: UInt32 = 0
    var command: UInt32 = Command.fixed
    /// Error in 15:8, status in 7:0.
    var taskFile: UInt32 = noTaskFile
    var signature: UInt32 = .max
    var status: UInt32 = 0
    var control: UInt32 = 0
    var error: UInt32 = 0
    /// Queued commands under way.
    var active: UInt32 = 0
    /// Commands issued.
    var issue: UInt32 = 0

    /// What the port's thread has to do because of a write.
    struct Work: OptionSet, BitwiseCopyable {
        let rawValue: UInt8
        /// Look for commands.
        static let commands = Work(rawValue: 1)
        /// Stop working on the list.
        static let stop = Work(rawValue: 2)
        /// The link comes up again after a reset.
        static let reset = Work(rawValue: 4)
        /// The receive area is there: the device's first FIS can be put into it.
        static let receive = Work(rawValue: 8)
    }

    var isInterrupting: Bool { interruptStatus & interruptEnable != 0 }
    var isRunning: Bool { command & Command.listRunning != 0 }
    var canReceive: Bool { command & Command.receiveRunning != 0 }

    func read(_ offset: UInt64) -> UInt32 {
        switch offset {
        case Offset.commandList: UInt32(truncatingIfNeeded: commandList)
        case Offset.commandListHigh: UInt32(truncatingIfNeeded: commandList >> 32)
        case Offset.received: UInt32(truncatingIfNeeded: received)
        case Offset.receivedHigh: UInt32(truncatingIfNeeded: received >> 32)
        case Offset.interruptStatus: interruptStatus
        case Offset.interruptEnable: interruptEnable
        case Offset.command: command
        case Offset.taskFile: taskFile
        case Offset.signature: signature
        case Offset.status: status
        case Offset.control: control
        case Offset.error: error
        case Offset.active: active
        case Offset.issue: issue
        default: 0
        }
    }

    mutating func write(_ offset: UInt64, _ value: UInt32, hasDevice: Bool) -> Work {
        switch offset {
        case Offset.commandList: Self.set(low: &commandList, value & ~0x3ff)
        case Offset.commandListHigh: Self.set(high: &commandList, value)
        case Offset.received: Self.set(low: &received, value & ~0xff)
        case Offset.receivedHigh: Self.set(high: &received, value)
        case Offset.interruptStatus:
            interruptStatus &= ~value
            // Two bits mirror PxSERR.
            if error & 1 << 26 != 0 { interruptStatus |= Interrupt.connectChange }
            if error & 1 << 16 != 0 { interruptStatus |= Interrupt.phyReady }
        case Offset.interruptEnable: interruptEnable = value & Interrupt.all
        case Offset.command: return setCommand(value)
        case Offset.control: return setControl(value, hasDevice: hasDevice)
        case Offset.error:
            error &= ~value
            if error & 1 << 26 == 0 { interruptStatus &= ~Interrupt.connectChange }
            if error & 1 << 16 == 0 { interruptStatus &= ~Interrupt.phyReady }
        case Offset.active where isRunning: active |= value
        case Offset.issue where isRunning:
            issue |= value
            return .commands
        default: break
        }
        return []
    }

    private static func set(low field: inout UInt64, _ value: UInt32) {
        field = field & ~0xffff_ffff | UInt64(value)
    }

    private static func set(high field: inout UInt64, _ value: UInt32) {
        field = field & 0xffff_ffff | UInt64(value) << 32
    }

    private mutating func setCommand(_ value: UInt32) -> Work {
        let before = command
        command = command & ~Command.writable | value & Command.writable
        var work: Work = []
        if value & Command.override != 0 && before & Command.start == 0 { taskFile &= ~0x88 }
        if value & Command.receiveEnable != 0 {
            if before & Command.receiveEnable == 0 { work.insert(.receive) }
            command |= Command.receiveRunning
        } else if value & Command.start == 0 {
            command &= ~Command.receiveRunning
        }
        if value & Command.start != 0 {
            if before & Command.start == 0 {
                // Should the port's thread still be stopping, it finds that it need not.
                command |= Command.listRunning
                work.insert(.commands)
            }
        } else if before & Command.start != 0 {
            work.insert(.stop)
        }
        return work
    }

    private mutating func setControl(_ value: UInt32, hasDevice: Bool) -> Work {
        let before = control
        control = value & 0xfff
        let (was, now) = (before & 0xf, control & 0xf)
        if now == 1 && was != 1 {
            // The interface is held in reset: there is no link, and what was under way is lost.
            status = hasDevice ? 1 : 0
            taskFile = Self.noTaskFile
            signature = .max
            return .stop
        }
        if now == 0 && was == 1 { return .reset }
        if now == 4 {
            status = 4
            return .stop
        }
        if now == 0 && was == 4 { return .reset }
        return []
    }
}
