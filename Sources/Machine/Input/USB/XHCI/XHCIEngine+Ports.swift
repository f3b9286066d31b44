// The root hub's ports (xHCI 1.2, sections 4.19 and 5.4.8).
extension XHCIEngine {
    typealias PortStatus = XHCIRegisters.PortStatus
    typealias LinkState = XHCIRegisters.LinkState

    /// Sets the port's registers as for a device that was just plugged in.
    mutating func connect(_ index: Int, _ device: any USBDevice) {
        state.ports[index] = XHCIState.Port()
        state.ports[index].status |= PortStatus.connected
        state.ports[index].speed = UInt32(device.speed.rawValue)
        if isUSB3(index) {
            state.ports[index].status |= PortStatus.enabled
            state.ports[index].linkState = LinkState.u0
        } else {
            state.ports[index].linkState = LinkState.polling
        }
        notify(index, PortStatus.connectChange)
    }

    mutating func attach(_ device: any USBDevice, index: Int, now: UInt64) {
        devices[index] = device
        device.reset()
        connect(index, device)
        updateInterrupts(now: now)
    }

    mutating func detach(_ index: Int, now: UInt64) {
        devices[index] = nil
        state.ports[index] = XHCIState.Port()
        // Transfers that wait for the device stay where they are: the driver takes them back when it sees the change.
        notify(index, PortStatus.connectChange)
        updateInterrupts(now: now)
    }

    private func isUSB3(_ index: Int) -> Bool { index >= XHCIRegisters.portsPerProtocol }

    /// Sets change bits and tells the driver (section 4.19.2).
    private mutating func notify(_ index: Int, _ changes: UInt32) {
        guard state.ports[index].status & changes != changes else { return }
        state.ports[index].status |= changes
        state.status |= XHCIRegisters.Status.portChange
        post(
            Block(
                parameter: UInt64(index + 1) << 24, status: UInt32(XHCIRegisters.Completion.success) << 24,
                control: UInt32(Block.Kind.portStatusChange) << 10))
    }

    /// The device at a suspended port asks to be woken; the driver finishes it by setting U0.
    mutating func resume(_ port: Int) {
        state.ports[port - 1].linkState = LinkState.resume
        notify(port - 1, PortStatus.linkChange)
    }

    // MARK: Registers: four of four bytes a port

    func readPort(_ index: Int, _ register: UInt64) -> UInt32 {
        let port = state.ports[index]
        switch register {
        case 0: return port.status | port.linkState << 5 | port.speed << 10
        case 4: return port.powerManagement
        default: return 0
        }
    }

    mutating func writePort(_ index: Int, _ register: UInt64, _ value: UInt32) {
        guard register == 0 else {
            if register == 4 { state.ports[index].powerManagement = value }
            return
        }
        // Changes are cleared by ones, and so is the port's being enabled.
        state.ports[index].status &= ~(value & PortStatus.changes)
        state.ports[index].status =
            state.ports[index].status & ~PortStatus.wakeEnables | value & PortStatus.wakeEnables
        if value & PortStatus.reset != 0 || (isUSB3(index) && value & PortStatus.warmReset != 0) {
            return resetPort(index)
        }
        if value & PortStatus.enabled != 0, !isUSB3(index), state.ports[index].status & PortStatus.enabled != 0 {
            state.ports[index].status &= ~PortStatus.enabled
            state.ports[index].linkState = LinkState.polling
            return
        }
        if value & PortStatus.linkStateWrite != 0 { setLinkState(index, value >> 5 & 0xf) }
    }

    private mutating func resetPort(_ index: Int) {
        guard let device = devices[index] else { return }
        device.reset()
        state.ports[index].status |= PortStatus.enabled
        state.ports[index].linkState = LinkState.u0
        notify(index, PortStatus.resetChange)
    }

    private mutating func setLinkState(_ index: Int, _ wanted: UInt32) {
        guard state.ports[index].status & PortStatus.enabled != 0 else { return }
        let before = state.ports[index].linkState
        switch wanted {
        case LinkState.u0:
            state.ports[index].linkState = LinkState.u0
            if before == LinkState.u3 || before == LinkState.resume {
                notify(index, PortStatus.linkChange)
                ringWaiting(port: index + 1)
            }
        case LinkState.u3: if before < LinkState.u3 { state.ports[index].linkState = LinkState.u3 }
        case LinkState.resume:
            if before == LinkState.u3, !isUSB3(index) { state.ports[index].linkState = LinkState.resume }
        default: break
        }
    }

    /// What devices had to say while the port slept.
    private mutating func ringWaiting(port: Int) {
        for slot in state.slots.indices where state.slots[slot].port == port {
            for index in 1..<32 where state.slots[slot].endpoints[index].isArmed {
                state.slots[slot].doorbells |= 1 << UInt32(index)
            }
        }
    }
}
