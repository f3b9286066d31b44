/// Where the registers of the controller are in its window, and what their bits mean (xHCI 1.2, section 5).
enum XHCIRegisters {
    static let windowSize: UInt64 = 0x4000

    /// How many of each there are.
    static let slotCount = 16
    static let interrupterCount = 4
    /// Ports 1 to 4 are USB 2, 5 to 8 are USB 3.
    static let portCount = 8
    static let portsPerProtocol = 4

    // Offsets of the register sets.
    static let operational: UInt64 = 0x40
    static let ports: UInt64 = 0x440
    static let portsEnd: UInt64 = ports + 0x10 * UInt64(portCount)
    static let runtime: UInt64 = 0x1000
    static let interrupters: UInt64 = 0x1020
    static let interruptersEnd: UInt64 = interrupters + 0x20 * UInt64(interrupterCount)
    static let doorbells: UInt64 = 0x2000
    static let doorbellsEnd: UInt64 = doorbells + 4 * UInt64(slotCount + 1)

    /// Capability registers and extended capabilities (section 7.2): what never changes.
    static let capabilities: InlineArray<16, UInt32> = [
        // CAPLENGTH, HCIVERSION 1.0.
        0x0100_0040,
        UInt32(slotCount) | UInt32(interrupterCount) << 8 | UInt32(portCount) << 24,
        // Isochronous scheduling threshold: a frame. Event ring tables of up to 2^3 segments.
        0x0000_003f,
        0,
        // 64-bit addresses, contexts of 32 bytes, extended capabilities at 0x20.
        0x0008_0001,
        UInt32(doorbells), UInt32(runtime),
        0,
        // Supported protocol: "USB ", 2.0, ports 1 to 4; the next capability is 0x10 further.
        0x0200_0402, 0x2042_5355, 1 | UInt32(portsPerProtocol) << 8, 0,
        // "USB ", 3.0, ports 5 to 8; no more.
        0x0300_0002, 0x2042_5355, UInt32(portsPerProtocol + 1) | UInt32(portsPerProtocol) << 8, 0,
    ]

    /// Whether the low half of a 64-bit register is the one that something happens at: the event ring dequeue pointer.
    static func actsOnLowHalf(_ offset: UInt64) -> Bool {
        (interrupters..<interruptersEnd).contains(offset) && offset & 0x1f == 0x18
    }

    enum Command {
        static let run: UInt32 = 1 << 0
        static let reset: UInt32 = 1 << 1
        static let interruptEnable: UInt32 = 1 << 2
        static let hostSystemErrorEnable: UInt32 = 1 << 3
        static let restoreState: UInt32 = 1 << 9
        static let wrapEvent: UInt32 = 1 << 10
        static let stored = interruptEnable | hostSystemErrorEnable | wrapEvent
    }

    enum Status {
        static let halted: UInt32 = 1 << 0
        static let hostSystemError: UInt32 = 1 << 2
        static let eventInterrupt: UInt32 = 1 << 3
        static let portChange: UInt32 = 1 << 4
        static let saveRestoreError: UInt32 = 1 << 10
        static let clearedByOne = hostSystemError | eventInterrupt | portChange | saveRestoreError
    }

    enum CommandRing {
        static let cycle: UInt32 = 1 << 0
        static let stop: UInt32 = 1 << 1
        static let abort: UInt32 = 1 << 2
        static let running: UInt32 = 1 << 3
    }

    enum PortStatus {
        static let connected: UInt32 = 1 << 0
        static let enabled: UInt32 = 1 << 1
        static let reset: UInt32 = 1 << 4
        static let power: UInt32 = 1 << 9
        static let linkStateWrite: UInt32 = 1 << 16
        static let connectChange: UInt32 = 1 << 17
        static let resetChange: UInt32 = 1 << 21
        static let linkChange: UInt32 = 1 << 22
        static let changes: UInt32 = 0x7f << 17
        static let wakeEnables: UInt32 = 7 << 25
        static let warmReset: UInt32 = 1 << 31
    }

    /// Link states (section 5.4.8, PLS).
    enum LinkState {
        static let u0: UInt32 = 0
        static let u3: UInt32 = 3
        static let disabled: UInt32 = 4
        static let rxDetect: UInt32 = 5
        static let polling: UInt32 = 7
        static let resume: UInt32 = 15
    }

    enum InterruptManagement {
        static let pending: UInt32 = 1 << 0
        static let enable: UInt32 = 1 << 1
    }
    /// Of the event ring dequeue pointer: the handler is busy.
    static let handlerBusy: UInt64 = 1 << 3

    /// What a transfer or command came to (section 6.4.5).
    enum Completion {
        static let success: UInt8 = 1
        static let babble: UInt8 = 3
        static let transaction: UInt8 = 4
        static let trb: UInt8 = 5
        static let stall: UInt8 = 6
        static let noSlots: UInt8 = 9
        static let slotNotEnabled: UInt8 = 11
        static let shortPacket: UInt8 = 13
        static let parameter: UInt8 = 17
        static let contextState: UInt8 = 19
        static let eventRingFull: UInt8 = 21
        static let commandRingStopped: UInt8 = 24
        static let stopped: UInt8 = 26
    }
}
