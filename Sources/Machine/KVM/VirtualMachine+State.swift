import CLinux
import Linux
import Synchronization

extension VirtualMachine {
    /// Takes the machine's state. All vCPUs must stand still, and nobody may signal interrupts.
    public func saveState() throws(KVMError) -> VirtualMachineState {
        var state = VirtualMachineState()
        if configuration.interruptController == .full {
            // Before the controllers: it may still raise its line.
            if configuration.intervalTimer { state.intervalTimer = try intervalTimer() }
            var controllers = InterruptControllerState()
            controllers.picMaster = PICState(try interruptController(.picMaster).load(at: 8))
            controllers.picSlave = PICState(try interruptController(.picSlave).load(at: 8))
            controllers.ioapic = IOAPICState(try interruptController(.ioapic))
            state.controllers = controllers
        }
        state.clock = try clock()
        state.routes = currentRoutes
        return state
    }

    /// Puts the machine in a saved state. Restore it before the vCPUs, and before devices attach interrupts.
    ///
    /// - Parameters:
    ///   - keepRoutes: whether all routes and numbers given out become those of the state; otherwise only those of the
    ///     pins do, and devices allocate anew.
    ///   - advanceClock: whether the guest's clock shows the time that went by since the state was taken, as after a
    ///     migration or a suspension; otherwise it goes on from where it was, as after a pause.
    public func restoreState(
        _ state: VirtualMachineState, keepRoutes: Bool = false, advanceClock: Bool = false
    ) throws(KVMError) {
        guard (configuration.interruptController == .full) == (state.controllers != nil),
            (configuration.interruptController == .full && configuration.intervalTimer) == (state.intervalTimer != nil)
        else { throw .badState("the interrupt controllers or the interval timer differ") }
        try updateRoutes { routes throws(KVMError) in
            if keepRoutes {
                guard state.routes.limit <= routes.limit else {
                    throw .badState("it has up to \(state.routes.limit) interrupts, this host \(routes.limit)")
                }
                routes = state.routes
            } else {
                for gsi in 0..<min(InterruptRoutes.pins, routes.limit) { try routes.set(gsi, state.routes[gsi]) }
            }
        }
        if let controllers = state.controllers {
            for (chip, state) in [(InterruptChip.picMaster, controllers.picMaster), (.picSlave, controllers.picSlave)] {
                let buffer = Self.interruptControllerBuffer(chip)
                buffer.store(state.raw, at: 8)
                try kvmCall(raw, WAFER_KVM_SET_IRQCHIP, buffer, "set an interrupt controller")
            }
            let buffer = Self.interruptControllerBuffer(.ioapic)
            controllers.ioapic.store(in: buffer)
            try kvmCall(raw, WAFER_KVM_SET_IRQCHIP, buffer, "set the IOAPIC")
        }
        if let timer = state.intervalTimer {
            var raw = timer.raw
            try kvmCall(self.raw, WAFER_KVM_SET_PIT2, &raw, "set the interval timer")
        }
        try setClock(state.clock, advance: advanceClock)
    }

    /// The guest's paravirtual clock.
    public func clock() throws(KVMError) -> ClockState {
        var raw = kvm_clock_data()
        try kvmCall(self.raw, WAFER_KVM_GET_CLOCK, &raw, "read the guest's clock")
        var clock = ClockState()
        clock.nanoseconds = raw.clock
        // The kernel knows only while all vCPUs share one clock.
        clock.wallTime = raw.flags & UInt32(KVM_CLOCK_REALTIME) != 0 ? raw.realtime : WallTime.now
        if raw.flags & UInt32(KVM_CLOCK_HOST_TSC) != 0 { clock.hostTimeStamp = raw.host_tsc }
        return clock
    }

    /// Sets the guest's paravirtual clock.
    ///
    /// - Parameter advance: add the wall time that went by since the clock was read.
    public func setClock(_ clock: ClockState, advance: Bool) throws(KVMError) {
        var raw = kvm_clock_data()
        raw.clock = clock.nanoseconds
        let canAdvance = system.check(.adjustClock) & Int(KVM_CLOCK_REALTIME) != 0
        if advance, canAdvance, let wallTime = clock.wallTime {
            raw.flags = UInt32(KVM_CLOCK_REALTIME)
            raw.realtime = wallTime
        } else if advance, let wallTime = clock.wallTime {
            // Kernels before 5.15 do not do it themselves, which would be the more exact.
            raw.clock &+= WallTime.elapsed(since: wallTime)
        }
        try kvmCall(self.raw, WAFER_KVM_SET_CLOCK, &raw, "set the guest's clock")
    }

    /// `struct kvm_irqchip`: the chip, padding, then the state of 512 bytes.
    private static func interruptControllerBuffer(_ chip: InterruptChip) -> KernelBuffer {
        let buffer = KernelBuffer(count: MemoryLayout<kvm_irqchip>.size)
        buffer.store(chip.rawValue, at: 0)
        return buffer
    }

    private func interruptController(_ chip: InterruptChip) throws(KVMError) -> KernelBuffer {
        let buffer = Self.interruptControllerBuffer(chip)
        try kvmCall(raw, WAFER_KVM_GET_IRQCHIP, buffer, "read an interrupt controller")
        return buffer
    }

    private func intervalTimer() throws(KVMError) -> IntervalTimerState {
        var raw = kvm_pit_state2()
        try kvmCall(self.raw, WAFER_KVM_GET_PIT2, &raw, "read the interval timer")
        return IntervalTimerState(raw)
    }
}

extension PICState {
    init(_ raw: kvm_pic_state) {
        (lastRequests, requests, mask, inService) = (raw.last_irr, raw.irr, raw.imr, raw.isr)
        (priorityBase, vectorBase, readSelect, poll) = (raw.priority_add, raw.irq_base, raw.read_reg_select, raw.poll)
        (specialMask, initState, autoEOI) = (raw.special_mask, raw.init_state, raw.auto_eoi)
        (rotateOnAutoEOI, specialFullyNested) = (raw.rotate_on_auto_eoi, raw.special_fully_nested_mode)
        (init4, levelTriggered, levelMask) = (raw.init4, raw.elcr, raw.elcr_mask)
    }

    var raw: kvm_pic_state {
        kvm_pic_state(
            last_irr: lastRequests, irr: requests, imr: mask, isr: inService, priority_add: priorityBase,
            irq_base: vectorBase, read_reg_select: readSelect, poll: poll, special_mask: specialMask,
            init_state: initState, auto_eoi: autoEOI, rotate_on_auto_eoi: rotateOnAutoEOI,
            special_fully_nested_mode: specialFullyNested, init4: init4, elcr: levelTriggered, elcr_mask: levelMask)
    }
}

/// `struct kvm_ioapic_state` behind the 8 bytes of `struct kvm_irqchip`: base, selected register, id, requests,
/// padding, and from byte 24 on the redirection entries, which are a union in C.
extension IOAPICState {
    init(_ buffer: borrowing KernelBuffer) {
        self.init()
        (base, select, id) = (buffer.load(at: 8), buffer.load(at: 16), buffer.load(at: 20))
        requests = buffer.load(at: 24)
        for pin in redirections.indices { redirections[pin] = buffer.load(at: 32 + pin * 8) }
    }

    func store(in buffer: borrowing KernelBuffer) {
        buffer.store(base, at: 8)
        buffer.store(select, at: 16)
        buffer.store(id, at: 20)
        buffer.store(requests, at: 24)
        for (pin, entry) in redirections.enumerated() { buffer.store(entry, at: 32 + pin * 8) }
    }
}

extension IntervalTimerChannel {
    init(_ raw: kvm_pit_channel_state) {
        (count, latchedCount, countLatched) = (raw.count, raw.latched_count, raw.count_latched)
        (statusLatched, status, readState) = (raw.status_latched, raw.status, raw.read_state)
        (writeState, writeLatch, accessMode) = (raw.write_state, raw.write_latch, raw.rw_mode)
        (mode, bcd, gate, loadTime) = (raw.mode, raw.bcd, raw.gate, raw.count_load_time)
    }

    var raw: kvm_pit_channel_state {
        kvm_pit_channel_state(
            count: count, latched_count: latchedCount, count_latched: countLatched, status_latched: statusLatched,
            status: status, read_state: readState, write_state: writeState, write_latch: writeLatch,
            rw_mode: accessMode, mode: mode, bcd: bcd, gate: gate, count_load_time: loadTime)
    }
}

extension IntervalTimerState {
    init(_ raw: kvm_pit_state2) {
        self.init()
        let (first, second, third) = raw.channels
        channels = [first, second, third].map { IntervalTimerChannel($0) }
        flags = raw.flags
    }

    var raw: kvm_pit_state2 {
        var raw = kvm_pit_state2()
        if channels.count == 3 { raw.channels = (channels[0].raw, channels[1].raw, channels[2].raw) }
        raw.flags = flags
        return raw
    }
}
