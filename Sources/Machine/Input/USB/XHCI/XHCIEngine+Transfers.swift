import GuestMemory

// Transfer rings (xHCI 1.2, sections 4.10 and 4.11): control transfers to endpoint 0, and interrupt endpoints that read.
extension XHCIEngine {
    /// Carries out the next transfer of an endpoint whose doorbell was rung.
    ///
    /// - Returns: false if the events there will be have no room: it goes on when the guest has read some.
    mutating func runEndpoint(_ slot: Int, _ index: Int, _ budget: inout Int) -> Bool {
        let endpoint = state.slots[slot - 1].endpoints[index]
        guard endpoint.state == .running else {
            quiet(slot, index)
            return true
        }
        var ring = endpoint.ring
        let gathered = gather(&ring, isControl: endpoint.type == Endpoint.control)
        // Each of its blocks may make an event, in the ring that it names; the smallest ring holds 15.
        let needed = min(transferCount, 12)
        for index in 0..<transferCount {
            guard hasRoomForEvents(transfer[index].interrupter, count: needed) else { return false }
        }
        budget -= max(transferCount, 1)
        switch gathered {
        case .incomplete:
            // The driver rings again when the rest is there.
            state.slots[slot - 1].doorbells &= ~(1 << UInt32(index))
        case .broken: fail(.transferRing)
        case .tooLong: stop(slot, index, transfer[0], .error, Completion.trb)
        case .whole:
            guard let device = device(slot) else {
                stop(slot, index, transfer[0], .halted, Completion.transaction)
                return true
            }
            switch endpoint.type {
            case Endpoint.control: runControl(slot, index, device, ring)
            case Endpoint.interruptIn: runInterrupt(slot, index, device, ring)
            default: stop(slot, index, transfer[0], .halted, Completion.stall)
            }
        }
        return true
    }

    private enum Gathering {
        case whole
        case incomplete
        case tooLong
        case broken
    }

    /// Collects the blocks of a transfer: those of a chain; for control transfers, from the setup stage to the status
    /// stage.
    private mutating func gather(_ ring: inout ConsumerRing, isControl: Bool) -> Gathering {
        transferCount = 0
        var needsStatus = false
        while true {
            switch ring.next(ram) {
            case .end: return .incomplete
            case .broken: return .broken
            case .block(let block):
                guard transferCount < Self.transferMax else { return .tooLong }
                transfer[transferCount] = block
                transferCount += 1
                if isControl, block.kind == Block.Kind.setup { needsStatus = true }
                if block.kind == Block.Kind.status { needsStatus = false }
                if !block.isChained, !needsStatus { return .whole }
            }
        }
    }

    // MARK: Control transfers

    private mutating func runControl(_ slot: Int, _ index: Int, _ device: any USBDevice, _ ring: ConsumerRing) {
        guard transfer[0].kind == Block.Kind.setup else {
            // Between transfers there may be nothing but no-operations.
            if isIdle { return finish(slot, index, ring, moved: 0) }
            return stop(slot, index, transfer[0], .error, Completion.trb)
        }
        // A setup stage is immediate and eight bytes long.
        guard transfer[0].isImmediate, transfer[0].length == 8, shapeIsControl else {
            return stop(slot, index, transfer[0], .error, Completion.trb)
        }
        let setup = USBSetup(transfer[0].parameter)
        data.removeAll()
        let asked = lengthOfTransfer
        if !setup.isIn {
            guard asked <= USBData.capacity else { return stall(slot, index) }
            guard fetch() else { return fail(.transferBuffer) }
        }
        // Giving a device its address is the controller's task (section 4.6.5).
        let setAddress = setup.requestType == 0 && setup.request == 5
        let answer = setAddress ? .stall : device.control(setup, &data)
        guard answer == .done else { return stall(slot, index) }
        if setup.isIn {
            data.truncate(to: min(Int(setup.length), asked))
            guard deliver() else { return fail(.transferBuffer) }
        }
        finish(slot, index, ring, moved: setup.isIn ? data.count : asked)
    }

    /// Only no-operations and events.
    private var isIdle: Bool { (0..<transferCount).allSatisfy { isAside(transfer[$0]) } }

    private func isAside(_ block: Block) -> Bool {
        block.kind == Block.Kind.noOperation || block.kind == Block.Kind.eventData
    }

    /// After the setup stage: data, perhaps, and one status stage.
    private var shapeIsControl: Bool {
        var statusSeen = false
        for position in 1..<max(transferCount, 1) {
            switch transfer[position].kind {
            case Block.Kind.data, Block.Kind.normal: if statusSeen { return false }
            case Block.Kind.status:
                if statusSeen { return false }
                statusSeen = true
            case Block.Kind.eventData, Block.Kind.noOperation: break
            default: return false
            }
        }
        return statusSeen
    }

    /// The stall of a control transfer shows in its data stage if it has one, else in the status stage.
    private mutating func stall(_ slot: Int, _ index: Int) {
        let stage = (1..<transferCount).first { isBuffer(transfer[$0]) || transfer[$0].kind == Block.Kind.status }
        stop(slot, index, transfer[stage ?? 0], .halted, Completion.stall)
    }

    // MARK: Interrupt transfers

    private mutating func runInterrupt(_ slot: Int, _ index: Int, _ device: any USBDevice, _ ring: ConsumerRing) {
        if isIdle { return finish(slot, index, ring, moved: 0) }
        let isTransfer = (0..<transferCount).allSatisfy {
            transfer[$0].kind == Block.Kind.normal || isAside(transfer[$0])
        }
        guard isTransfer else { return stop(slot, index, transfer[0], .error, Completion.trb) }
        data.removeAll()
        switch device.interruptIn(UInt8(truncatingIfNeeded: index >> 1), &data) {
        case .notReady:
            state.slots[slot - 1].endpoints[index].isArmed = true
            state.slots[slot - 1].doorbells &= ~(1 << UInt32(index))
        case .stall: stop(slot, index, transfer[0], .halted, Completion.stall)
        case .done:
            guard data.count <= lengthOfTransfer else {
                return stop(slot, index, transfer[0], .halted, Completion.babble)
            }
            guard deliver() else { return fail(.transferBuffer) }
            finish(slot, index, ring, moved: data.count)
        }
    }

    // MARK: Buffers

    private func isBuffer(_ block: Block) -> Bool {
        block.kind == Block.Kind.normal || block.kind == Block.Kind.data
    }

    private var lengthOfTransfer: Int {
        (0..<transferCount).reduce(0) { isBuffer(transfer[$1]) ? $0 + transfer[$1].length : $0 }
    }

    /// Copies what the guest sends.
    private mutating func fetch() -> Bool {
        for position in 0..<transferCount where isBuffer(transfer[position]) {
            let block = transfer[position]
            if block.isImmediate {
                for byte in 0..<min(block.length, 8) {
                    data.append(UInt8(truncatingIfNeeded: block.parameter >> (8 * UInt64(byte))))
                }
            } else if block.length > 0 {
                let ram = ram
                let copied = unsafe data.append(count: block.length) {
                    unsafe ram.copy(from: block.parameter, to: $0, count: block.length)
                }
                guard copied else { return false }
            }
        }
        return true
    }

    /// Copies what the device sends to where the guest wants it.
    private func deliver() -> Bool {
        var done = 0
        for position in 0..<transferCount where isBuffer(transfer[position]) {
            let block = transfer[position]
            let count = min(block.length, data.count - done)
            guard count > 0 else { continue }
            let copied = unsafe data.read(done..<(done + count)) {
                unsafe ram.copy(from: $0, to: block.parameter, count: count)
            }
            guard copied else { return false }
            done += count
        }
        return true
    }

    // MARK: Endings

    /// The transfer is done: events, and on to the next one.
    private mutating func finish(_ slot: Int, _ index: Int, _ ring: ConsumerRing, moved: Int) {
        state.slots[slot - 1].endpoints[index].ring = ring
        state.slots[slot - 1].endpoints[index].isArmed = false
        var rest = moved
        // Bytes since the last event data (section 4.11.5.2).
        var sum: UInt32 = 0
        var isShort = false
        var reported = false
        for position in 0..<transferCount {
            let block = transfer[position]
            var unused = 0
            switch block.kind {
            case Block.Kind.normal, Block.Kind.data:
                let count = min(block.length, rest)
                rest -= count
                sum &+= UInt32(truncatingIfNeeded: count)
                unused = block.length - count
                if unused > 0 { isShort = true }
            case Block.Kind.status: (isShort, reported) = (false, false)
            default: break
            }
            let code = isShort ? Completion.shortPacket : Completion.success
            if block.kind == Block.Kind.eventData {
                if block.interruptsOnCompletion { reportData(block, slot, index, code, sum) }
                sum = 0
            } else if !reported, block.interruptsOnCompletion || (isShort && block.interruptsOnShort) {
                report(block, slot, index, code, rest: unused)
                // What follows a short packet in its stage is passed over, except event data.
                reported = isShort
            }
        }
    }

    /// The transfer fails at a block: the endpoint stops there until the driver deals with it.
    private mutating func stop(_ slot: Int, _ index: Int, _ block: Block, _ ending: Endpoint.State, _ code: UInt8) {
        quiet(slot, index)
        state.slots[slot - 1].endpoints[index].state = ending
        report(block, slot, index, code, rest: block.length)
        storeEndpoint(slot, index)
    }

    private func control(_ slot: Int, _ index: Int) -> UInt32 {
        UInt32(Block.Kind.transferEvent) << 10 | UInt32(index) << 16 | UInt32(slot) << 24
    }

    /// Posts an event for a block (section 6.4.2.1).
    ///
    /// - Parameter rest: bytes that were not moved.
    mutating func report(_ block: Block, _ slot: Int, _ index: Int, _ code: UInt8, rest: Int) {
        let status = UInt32(truncatingIfNeeded: rest) & 0xff_ffff | UInt32(code) << 24
        post(
            Block(parameter: block.address, status: status, control: control(slot, index)), to: block.interrupter,
            interrupts: !block.blocksInterrupt)
    }

    /// Posts the event that an event data block asks for: its parameter, and how much was moved.
    private mutating func reportData(_ block: Block, _ slot: Int, _ index: Int, _ code: UInt8, _ sum: UInt32) {
        let status = sum & 0xff_ffff | UInt32(code) << 24
        post(
            Block(parameter: block.parameter, status: status, control: control(slot, index) | 1 << 2),
            to: block.interrupter, interrupts: !block.blocksInterrupt)
    }
}
