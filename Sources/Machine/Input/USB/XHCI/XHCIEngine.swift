import GuestMemory

/// What an xHCI does, without threads, interrupts and buses: registers and rings in, events out (xHCI 1.2).
///
/// `XHCIController` guards it, calls it, and carries out what it asks for in `wants`.
struct XHCIEngine: Sendable {
    /// Blocks worked on in one go: whoever rings a doorbell pays for no more than this.
    static let budgetMax = 256
    /// Blocks in one transfer.
    static let transferMax = 64

    var state = XHCIState()
    let ram: GuestRAM
    /// What is attached to each port.
    var devices = [(any USBDevice)?](repeating: nil, count: XHCIRegisters.portCount)
    /// Whether the guest uses message-signalled interrupts.
    var usesMessages = false
    var wants = Wants()

    // Places to work in, which are used again and again.
    var data = USBData()
    var transfer = [TransferRequestBlock](repeating: TransferRequestBlock(), count: transferMax)
    var transferCount = 0

    /// What is to be done outside.
    struct Wants {
        /// Message-signalled vectors to signal, a bit each.
        var messages: UInt32 = 0
        /// Level of the INTx wire.
        var line = false
        /// When to call `proceed`; nil if nothing waits for its time.
        var callAt: UInt64?
        /// The guest's mistake that stopped the controller.
        var fault: Fault?
    }

    enum Fault: String {
        case commandRing = "the command ring leads out of memory"
        case eventRing = "an event ring is not in memory"
        case transferRing = "a transfer ring leads out of memory"
        case transferBuffer = "a transfer's buffer is not in memory"
        case context = "a device context is not in memory"
    }

    init(ram: GuestRAM) { self.ram = ram }

    // MARK: Life

    /// The reset of USBCMD or of the bus: everything but what is plugged in is forgotten.
    mutating func reset() {
        state = XHCIState()
        for index in devices.indices {
            devices[index]?.reset()
            if let device = devices[index] { connect(index, device) }
        }
    }

    mutating func setRunning(_ run: Bool, now: UInt64) {
        guard run != state.isRunning else { return }
        if run {
            state.command |= XHCIRegisters.Command.run
            state.status &= ~XHCIRegisters.Status.halted
            state.frameStart = now
        } else {
            state.command &= ~XHCIRegisters.Command.run
            state.status |= XHCIRegisters.Status.halted
            state.commandRingRuns = false
            state.commandsWait = false
        }
    }

    /// The guest's structures lead nowhere: the controller stops and says so (section 4.10.2.6).
    mutating func fail(_ fault: Fault) {
        setRunning(false, now: 0)
        state.status |= XHCIRegisters.Status.hostSystemError
        wants.fault = fault
    }

    // MARK: Work

    /// Works on what was rung for, until it is done, the event rings are full, or the budget is used up.
    mutating func work(now: UInt64) {
        var budget = Self.budgetMax
        while state.commandsWait, state.isRunning, budget > 0, hasRoomForEvents(0, count: 3) {
            budget -= 1
            runCommand()
        }
        for index in state.slots.indices where state.slots[index].doorbells != 0 {
            while state.isRunning, budget > 0, state.slots[index].doorbells != 0 {
                let endpoint = state.slots[index].doorbells.trailingZeroBitCount
                if !runEndpoint(index + 1, endpoint, &budget) { break }
            }
        }
        updateInterrupts(now: now)
        // A ring that has no end must not keep a thread busy: it goes on a little later.
        if budget <= 0, state.isRunning { call(at: now &+ 1_000_000) }
    }

    mutating func call(at time: UInt64) { wants.callAt = wants.callAt.map { min($0, time) } ?? time }

    /// A doorbell register is written (section 5.6).
    mutating func ring(_ slot: Int, _ value: UInt32, now: UInt64) {
        guard state.isRunning else { return }
        let target = Int(value & 0xff)
        if slot == 0 {
            guard target == 0 else { return }
            state.commandRingRuns = true
            state.commandsWait = true
        } else {
            guard state.slots.indices.contains(slot - 1), (1...31).contains(target) else { return }
            switch state.slots[slot - 1].endpoints[target].state {
            case .running: break
            case .stopped:
                state.slots[slot - 1].endpoints[target].state = .running
                storeEndpoint(slot, target)
            case .disabled, .halted, .error: return
            }
            state.slots[slot - 1].doorbells |= 1 << UInt32(target)
        }
        work(now: now)
    }

    /// The device at a port has data for an interrupt endpoint.
    mutating func deviceHasData(port: Int, endpoint: Int, wakes: Bool, now: UInt64) {
        guard (1...15).contains(endpoint), state.ports.indices.contains(port - 1) else { return }
        if state.ports[port - 1].linkState == XHCIRegisters.LinkState.u3 {
            if wakes { resume(port) }
        } else if let slot = state.slots.firstIndex(where: { $0.port == port }) {
            let index = 2 * endpoint + 1
            guard state.slots[slot].endpoints[index].isArmed else { return }
            state.slots[slot].doorbells |= 1 << UInt32(index)
        }
        work(now: now)
    }

    /// The device behind a slot.
    func device(_ slot: Int) -> (any USBDevice)? {
        let port = state.slots[slot - 1].port
        return devices.indices.contains(port - 1) ? devices[port - 1] : nil
    }
}
