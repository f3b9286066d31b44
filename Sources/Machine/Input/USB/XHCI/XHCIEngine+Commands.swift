import GuestMemory

// The command ring (xHCI 1.2, section 4.6).
extension XHCIEngine {
    typealias Completion = XHCIRegisters.Completion
    typealias Slot = XHCIState.Slot
    typealias Endpoint = XHCIState.Endpoint

    /// Input and device contexts are arrays of these (section 6.2): control (input only), slot, endpoints.
    static let contextSize: UInt64 = 32

    /// Takes one command and carries it out.
    mutating func runCommand() {
        switch state.commandRing.next(ram) {
        case .end: state.commandsWait = false
        case .broken: fail(.commandRing)
        case .block(let command):
            var slot = command.slot
            let code = execute(command, &slot)
            guard state.isRunning else { return }
            complete(command.address, code, slot: slot)
        }
    }

    private mutating func complete(_ address: GuestAddress, _ code: UInt8, slot: Int) {
        post(
            Block(
                parameter: address, status: UInt32(code) << 24,
                control: UInt32(Block.Kind.commandCompletion) << 10 | UInt32(slot) << 24))
    }

    /// The guest stops the command ring.
    mutating func stopCommands() {
        guard state.commandRingRuns else { return }
        state.commandRingRuns = false
        state.commandsWait = false
        complete(state.commandRing.pointer, Completion.commandRingStopped, slot: 0)
    }

    private mutating func execute(_ command: Block, _ slot: inout Int) -> UInt8 {
        switch command.kind {
        case Block.Kind.noOperationCommand:
            slot = 0
            return Completion.success
        case Block.Kind.enableSlot:
            slot = 0
            let limit = min(Int(state.configuration & 0xff), state.slots.count)
            guard let free = state.slots.prefix(limit).firstIndex(where: { $0.state == .disabled }) else {
                return Completion.noSlots
            }
            state.slots[free] = Slot()
            state.slots[free].state = .enabled
            slot = free + 1
            return Completion.success
        default: break
        }
        guard (Block.Kind.disableSlot...Block.Kind.resetDevice).contains(command.kind) else { return Completion.trb }
        guard state.slots.indices.contains(slot - 1), state.slots[slot - 1].state != .disabled else {
            return Completion.slotNotEnabled
        }
        switch command.kind {
        case Block.Kind.disableSlot: return disableSlot(slot)
        case Block.Kind.addressDevice: return addressDevice(slot, command)
        case Block.Kind.configureEndpoint: return configureEndpoints(slot, command)
        case Block.Kind.evaluateContext: return evaluateContext(slot, command)
        case Block.Kind.resetDevice: return resetDevice(slot)
        case Block.Kind.resetEndpoint: return resetEndpoint(slot, command.endpoint)
        case Block.Kind.stopEndpoint: return stopEndpoint(slot, command.endpoint)
        default: return setDequeuePointer(slot, command)
        }
    }

    // MARK: Slots

    private mutating func disableSlot(_ slot: Int) -> UInt8 {
        setSlotState(slot, 0)
        state.slots[slot - 1] = Slot()
        return Completion.success
    }

    private mutating func addressDevice(_ slot: Int, _ command: Block) -> UInt8 {
        let present = state.slots[slot - 1].state
        // Bit 9 leaves out SET_ADDRESS.
        let blocksAddress = command.control & 1 << 9 != 0
        guard present == .enabled || (present == .default && !blocksAddress) else { return Completion.contextState }
        let input = command.parameter & ~0xf
        guard let drop = ram.load(UInt32.self, at: input), let add = ram.load(UInt32.self, at: input &+ 4),
            let context = ram.load(UInt64.self, at: state.contexts &+ 8 &* UInt64(slot))
        else { return failed(.context) }
        guard drop == 0, add & 3 == 3 else { return Completion.parameter }
        guard let words = loadContext(input &+ Self.contextSize),
            let endpoint = loadContext(input &+ 2 &* Self.contextSize)
        else { return failed(.context) }
        let port = Int(words[1] >> 16 & 0xff)
        // There are no hubs: the route beyond the root port is empty.
        guard state.ports.indices.contains(port - 1), words[0] & 0xfffff == 0 else { return Completion.parameter }
        guard devices[port - 1] != nil else { return Completion.transaction }
        for (index, other) in state.slots.enumerated() where index != slot - 1 && other.port == port {
            return Completion.trb
        }
        state.slots[slot - 1].context = context & ~0x3f
        state.slots[slot - 1].port = port
        state.slots[slot - 1].state = blocksAddress ? .default : .addressed
        begin(slot, 1, endpoint, type: Endpoint.control)
        var output = words
        output[3] = UInt32(state.slots[slot - 1].state.rawValue) << 27 | (blocksAddress ? 0 : UInt32(slot))
        guard storeContext(output, at: context & ~0x3f), storeWhole(endpoint, slot, 1) else { return failed(.context) }
        return Completion.success
    }

    private mutating func resetDevice(_ slot: Int) -> UInt8 {
        let present = state.slots[slot - 1].state
        guard present != .enabled else { return Completion.contextState }
        for index in 2..<32 { disableEndpoint(slot, index) }
        device(slot)?.reset()
        state.slots[slot - 1].state = .default
        setSlotState(slot, UInt32(Slot.State.default.rawValue) << 27)
        setContextEntries(slot, 1)
        return Completion.success
    }

    private mutating func setSlotState(_ slot: Int, _ word: UInt32) {
        let context = state.slots[slot - 1].context
        if context != 0 { ram.store(word, at: context &+ 12) }
    }

    private func setContextEntries(_ slot: Int, _ count: UInt32) {
        let context = state.slots[slot - 1].context
        guard let word = ram.load(UInt32.self, at: context) else { return }
        ram.store(word & 0x07ff_ffff | count << 27, at: context)
    }

    // MARK: Endpoints

    private mutating func configureEndpoints(_ slot: Int, _ command: Block) -> UInt8 {
        let present = state.slots[slot - 1].state
        guard present == .addressed || present == .configured else { return Completion.contextState }
        // Bit 9 takes the configuration away.
        if command.control & 1 << 9 != 0 {
            for index in 2..<32 { disableEndpoint(slot, index) }
            state.slots[slot - 1].state = .addressed
            setSlotState(slot, UInt32(Slot.State.addressed.rawValue) << 27 | UInt32(slot))
            setContextEntries(slot, 1)
            return Completion.success
        }
        let input = command.parameter & ~0xf
        guard let drop = ram.load(UInt32.self, at: input), let add = ram.load(UInt32.self, at: input &+ 4),
            let words = loadContext(input &+ Self.contextSize)
        else { return failed(.context) }
        // Slot and control endpoint are neither dropped nor added; the slot's flag says that its context counts.
        guard drop & 3 == 0, add & 3 == 1 else { return Completion.parameter }
        // All is checked before anything changes.
        for index in 2..<32 where add & 1 << UInt32(index) != 0 {
            guard let endpoint = loadContext(input &+ Self.contextSize &* UInt64(index + 1)) else {
                return failed(.context)
            }
            guard endpoint[1] >> 3 & 7 != 0 else { return Completion.parameter }
            let isFree = state.slots[slot - 1].endpoints[index].state == .disabled
            guard isFree || drop & 1 << UInt32(index) != 0 else { return Completion.parameter }
        }
        for index in 2..<32 {
            if drop & 1 << UInt32(index) != 0 { disableEndpoint(slot, index) }
            guard add & 1 << UInt32(index) != 0 else { continue }
            // The guest may have changed it meanwhile: this copy is the one that is used.
            guard let endpoint = loadContext(input &+ Self.contextSize &* UInt64(index + 1)) else {
                return failed(.context)
            }
            begin(slot, index, endpoint, type: UInt8(truncatingIfNeeded: endpoint[1] >> 3 & 7))
            guard storeWhole(endpoint, slot, index) else { return failed(.context) }
        }
        let isConfigured = (2..<32).contains { state.slots[slot - 1].endpoints[$0].state != .disabled }
        state.slots[slot - 1].state = isConfigured ? .configured : .addressed
        setSlotState(slot, UInt32(state.slots[slot - 1].state.rawValue) << 27 | UInt32(slot))
        setContextEntries(slot, words[0] >> 27)
        return Completion.success
    }

    private mutating func evaluateContext(_ slot: Int, _ command: Block) -> UInt8 {
        guard state.slots[slot - 1].state != .enabled else { return Completion.contextState }
        let input = command.parameter & ~0xf
        let output = state.slots[slot - 1].context
        guard let add = ram.load(UInt32.self, at: input &+ 4), let words = loadContext(input &+ Self.contextSize),
            let endpoint = loadContext(input &+ 2 &* Self.contextSize),
            var slotWords = loadContext(output), var endpointWords = loadContext(output &+ Self.contextSize)
        else { return failed(.context) }
        if add & 1 != 0 {
            // Maximum exit latency and interrupter.
            slotWords[1] = slotWords[1] & ~0xffff | words[1] & 0xffff
            slotWords[2] = slotWords[2] & ~0xffc0_0000 | words[2] & 0xffc0_0000
            guard storeContext(slotWords, at: output) else { return failed(.context) }
        }
        if add & 2 != 0 {
            // Maximum packet size.
            endpointWords[1] = endpointWords[1] & 0xffff | endpoint[1] & 0xffff_0000
            guard storeContext(endpointWords, at: output &+ Self.contextSize) else { return failed(.context) }
        }
        return Completion.success
    }

    private mutating func resetEndpoint(_ slot: Int, _ index: Int) -> UInt8 {
        guard index > 0 else { return Completion.trb }
        guard state.slots[slot - 1].endpoints[index].state == .halted else { return Completion.contextState }
        state.slots[slot - 1].endpoints[index].state = .stopped
        storeEndpoint(slot, index)
        return Completion.success
    }

    private mutating func stopEndpoint(_ slot: Int, _ index: Int) -> UInt8 {
        guard index > 0 else { return Completion.trb }
        guard state.slots[slot - 1].endpoints[index].state == .running else { return Completion.contextState }
        // A transfer that waits for the device is reported, and stays where it is.
        var ring = state.slots[slot - 1].endpoints[index].ring
        if state.slots[slot - 1].endpoints[index].isArmed, case .block(let block) = ring.next(ram) {
            report(block, slot, index, Completion.stopped, rest: block.length)
        }
        quiet(slot, index)
        state.slots[slot - 1].endpoints[index].state = .stopped
        storeEndpoint(slot, index)
        return Completion.success
    }

    private mutating func setDequeuePointer(_ slot: Int, _ command: Block) -> UInt8 {
        let index = command.endpoint
        guard index > 0 else { return Completion.trb }
        let present = state.slots[slot - 1].endpoints[index].state
        guard present == .stopped || present == .error else { return Completion.contextState }
        state.slots[slot - 1].endpoints[index].ring.word = command.parameter
        state.slots[slot - 1].endpoints[index].state = .stopped
        storeEndpoint(slot, index)
        return Completion.success
    }

    /// An endpoint starts as its context says.
    private mutating func begin(_ slot: Int, _ index: Int, _ context: Context, type: UInt8) {
        var endpoint = Endpoint()
        endpoint.state = .running
        endpoint.type = type
        endpoint.ring.word = UInt64(context[2]) | UInt64(context[3]) << 32
        state.slots[slot - 1].endpoints[index] = endpoint
        quiet(slot, index)
    }

    private mutating func disableEndpoint(_ slot: Int, _ index: Int) {
        guard state.slots[slot - 1].endpoints[index].state != .disabled else { return }
        state.slots[slot - 1].endpoints[index] = Endpoint()
        quiet(slot, index)
        storeEndpoint(slot, index)
    }

    /// No transfer of the endpoint is in progress.
    mutating func quiet(_ slot: Int, _ index: Int) {
        state.slots[slot - 1].endpoints[index].isArmed = false
        state.slots[slot - 1].doorbells &= ~(1 << UInt32(index))
    }

    // MARK: Contexts in guest memory

    /// The words of a context that mean something.
    typealias Context = InlineArray<5, UInt32>

    private func loadContext(_ address: GuestAddress) -> Context? {
        var words = Context(repeating: 0)
        for index in 0..<5 {
            guard let word = ram.load(UInt32.self, at: address &+ 4 &* UInt64(index)) else { return nil }
            words[index] = word
        }
        return words
    }

    private func storeContext(_ words: Context, at address: GuestAddress) -> Bool {
        for index in 0..<5 where !ram.store(words[index], at: address &+ 4 &* UInt64(index)) { return false }
        return true
    }

    private func place(_ slot: Int, _ index: Int) -> GuestAddress {
        state.slots[slot - 1].context &+ Self.contextSize &* UInt64(index)
    }

    private func storeWhole(_ context: Context, _ slot: Int, _ index: Int) -> Bool {
        var words = context
        words[0] = words[0] & ~7 | UInt32(state.slots[slot - 1].endpoints[index].state.rawValue)
        return storeContext(words, at: place(slot, index))
    }

    /// Shows the driver an endpoint's state and where its ring stands.
    mutating func storeEndpoint(_ slot: Int, _ index: Int) {
        let endpoint = state.slots[slot - 1].endpoints[index]
        let address = place(slot, index)
        guard let word = ram.load(UInt32.self, at: address),
            ram.store(word & ~7 | UInt32(endpoint.state.rawValue), at: address),
            ram.store(endpoint.ring.word, at: address &+ 8)
        else { return fail(.context) }
    }

    private mutating func failed(_ fault: Fault) -> UInt8 {
        fail(fault)
        return Completion.trb
    }
}
