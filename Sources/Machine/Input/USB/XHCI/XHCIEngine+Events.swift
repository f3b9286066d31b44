import GuestMemory

// Event rings and interrupters (xHCI 1.2, sections 4.9.4 and 4.17).
extension XHCIEngine {
    typealias Block = TransferRequestBlock
    typealias Interrupter = XHCIState.Interrupter

    /// The guest wrote the address of an event ring's segment table: the ring begins anew.
    mutating func loadSegments(_ index: Int) {
        var interrupter = state.interrupters[index]
        interrupter.segmentCount = 0
        interrupter.total = 0
        interrupter.enqueue = 0
        interrupter.cycle = true
        let count = min(Int(interrupter.tableSize & 0xffff), Interrupter.segmentsMax)
        for entry in 0..<count {
            let address = interrupter.table &+ 16 &* UInt64(entry)
            guard let start = ram.load(UInt64.self, at: address), let size = ram.load(UInt32.self, at: address &+ 8)
            else { return fail(.eventRing) }
            let blocks = Int(size & 0xffff)
            // Sizes are 16 to 4096; a driver that sets up a ring with others gets none.
            guard (16...4096).contains(blocks), start & 0x3f == 0, ram.contains(start, count: blocks * 16) else {
                return fail(.eventRing)
            }
            interrupter.segments[entry] = Interrupter.Segment(start: start, count: blocks)
            interrupter.segmentCount += 1
            interrupter.total += blocks
        }
        state.interrupters[index] = interrupter
    }

    /// Where in the ring, counted over all segments, an address is.
    private func position(_ address: GuestAddress, _ interrupter: borrowing Interrupter) -> Int? {
        var before = 0
        for index in 0..<interrupter.segmentCount {
            let segment = interrupter.segments[index]
            let offset = address &- segment.start
            if offset < UInt64(segment.count * 16) { return before + Int(offset >> 4) }
            before += segment.count
        }
        return nil
    }

    private func address(_ position: Int, _ interrupter: borrowing Interrupter) -> GuestAddress? {
        var rest = position
        for index in 0..<interrupter.segmentCount {
            let segment = interrupter.segments[index]
            if rest < segment.count { return segment.start &+ 16 &* UInt64(rest) }
            rest -= segment.count
        }
        return nil
    }

    /// Events that fit before the ring is full; nil if there is no ring.
    private func room(_ interrupter: borrowing Interrupter) -> Int? {
        guard interrupter.total > 0 else { return nil }
        guard let dequeue = position(interrupter.dequeue, interrupter) else { return 0 }
        let used = (interrupter.enqueue - dequeue + interrupter.total) % interrupter.total
        return interrupter.total - 1 - used
    }

    /// Whether `count` events fit, and one more that says that the ring is full. Events of an interrupter without a ring
    /// are lost, which needs no room.
    func hasRoomForEvents(_ index: Int, count: Int) -> Bool {
        guard state.interrupters.indices.contains(index) else { return true }
        return room(state.interrupters[index]).map { $0 > count } ?? true
    }

    /// Puts an event into a ring. One that does not fit is lost; the last place tells the driver so.
    mutating func post(_ event: Block, to index: Int = 0, interrupts: Bool = true) {
        guard state.isRunning, state.interrupters.indices.contains(index) else { return }
        guard let room = room(state.interrupters[index]), room > 0 else { return }
        var event = event
        if room == 1 {
            let kind = UInt32(Block.Kind.hostControllerEvent) << 10
            event = Block(status: UInt32(XHCIRegisters.Completion.eventRingFull) << 24, control: kind)
        }
        let position = state.interrupters[index].enqueue
        guard let place = address(position, state.interrupters[index]),
            event.store(ram, at: place, cycle: state.interrupters[index].cycle)
        else { return fail(.eventRing) }
        if position + 1 == state.interrupters[index].total {
            state.interrupters[index].enqueue = 0
            state.interrupters[index].cycle.toggle()
        } else {
            state.interrupters[index].enqueue = position + 1
        }
        if interrupts, !state.interrupters[index].isHandlerBusy { raise(index) }
    }

    private mutating func raise(_ index: Int) {
        state.interrupters[index].management |= XHCIRegisters.InterruptManagement.pending
        state.interrupters[index].isHandlerBusy = true
        state.status |= XHCIRegisters.Status.eventInterrupt
    }

    /// The guest has read events up to a place, and perhaps says that its handler is done.
    mutating func setDequeue(_ index: Int, _ value: UInt64) {
        state.interrupters[index].dequeue = value & ~0xf
        guard value & XHCIRegisters.handlerBusy != 0 else { return }
        state.interrupters[index].isHandlerBusy = false
        // Events that came while it was busy.
        let dequeue = position(state.interrupters[index].dequeue, state.interrupters[index])
        if let dequeue, dequeue != state.interrupters[index].enqueue { raise(index) }
    }

    /// Finds out what there is to interrupt for: messages at most as often as moderation allows (section 4.17.2).
    mutating func updateInterrupts(now: UInt64) {
        let enabled = state.command & XHCIRegisters.Command.interruptEnable != 0
        let both = XHCIRegisters.InterruptManagement.pending | XHCIRegisters.InterruptManagement.enable
        let first = state.interrupters[0].management & both == both
        wants.line = !usesMessages && enabled && first
        guard usesMessages, enabled else { return }
        for index in state.interrupters.indices where state.interrupters[index].management & both == both {
            let quietUntil = state.interrupters[index].quietUntil
            guard now >= quietUntil else {
                call(at: quietUntil)
                continue
            }
            wants.messages |= 1 << UInt32(index)
            // A message clears it: nobody else could tell one from the next.
            state.interrupters[index].management &= ~XHCIRegisters.InterruptManagement.pending
            let interval = UInt64(state.interrupters[index].moderation & 0xffff) * 250
            state.interrupters[index].quietUntil = now &+ interval
        }
    }
}
