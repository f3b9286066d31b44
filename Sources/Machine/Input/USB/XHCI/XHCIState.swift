import GuestMemory

/// What an xHCI has to remember; a snapshot would save it.
struct XHCIState: Sendable {
    var command: UInt32 = 0
    var status: UInt32 = XHCIRegisters.Status.halted
    var notification: UInt32 = 0
    var configuration: UInt32 = 0
    var commandRing = ConsumerRing()
    var commandRingRuns = false
    /// The doorbell of the command ring was rung and there may be more in it.
    var commandsWait = false
    /// The array of device contexts.
    var contexts: GuestAddress = 0
    /// When the microframe counter was zero, in nanoseconds of the host.
    var frameStart: UInt64 = 0
    var interrupters = InlineArray<4, Interrupter>(repeating: Interrupter())
    var ports = InlineArray<8, Port>(repeating: Port())
    /// Slot n is at n - 1.
    var slots = [Slot](repeating: Slot(), count: XHCIRegisters.slotCount)

    var isRunning: Bool { command & XHCIRegisters.Command.run != 0 }

    struct Port: Sendable, BitwiseCopyable {
        /// The register without link state and speed.
        var status = XHCIRegisters.PortStatus.power
        var linkState = XHCIRegisters.LinkState.rxDetect
        var speed: UInt32 = 0
        var powerManagement: UInt32 = 0
    }

    /// An interrupter and the producer's end of its event ring (xHCI 1.2, sections 4.9.4 and 4.17).
    struct Interrupter: Sendable, BitwiseCopyable {
        static let segmentsMax = 8

        var management: UInt32 = 0
        /// Reset value: a millisecond in units of 250 ns.
        var moderation: UInt32 = 4000
        var tableSize: UInt32 = 0
        var table: UInt64 = 0
        var dequeue: UInt64 = 0
        var isHandlerBusy = false
        /// The segments as the table said when its address was written.
        var segments = InlineArray<8, Segment>(repeating: Segment())
        var segmentCount = 0
        /// Blocks in all segments.
        var total = 0
        /// Where the next event goes, counted over all segments.
        var enqueue = 0
        var cycle = true
        /// When it may interrupt again.
        var quietUntil: UInt64 = 0

        struct Segment: Sendable, BitwiseCopyable {
            var start: GuestAddress = 0
            var count = 0
        }
    }

    struct Slot: Sendable, BitwiseCopyable {
        enum State: UInt8 {
            case disabled = 0xff
            case enabled = 0
            case `default` = 1
            case addressed = 2
            case configured = 3
        }

        var state = State.disabled
        /// The device context, which the guest reads.
        var context: GuestAddress = 0
        /// Root hub port, 1...8; 0 while there is none.
        var port = 0
        /// Endpoints by device context index, 1...31.
        var endpoints = InlineArray<32, Endpoint>(repeating: Endpoint())
        /// Endpoints that may have work, a bit each.
        var doorbells: UInt32 = 0
    }

    struct Endpoint: Sendable, BitwiseCopyable {
        /// As the context shows it (section 6.2.3).
        enum State: UInt8 {
            case disabled = 0
            case running = 1
            case halted = 2
            case stopped = 3
            case error = 4
        }

        /// Kinds of endpoints (section 6.2.3, EP Type).
        static let control: UInt8 = 4
        static let interruptIn: UInt8 = 7

        var state = State.disabled
        var type: UInt8 = 0
        var ring = ConsumerRing()
        /// A transfer waits for the device.
        var isArmed = false
    }
}
