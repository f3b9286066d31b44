import CLinux
public import Linux
import Synchronization

extension VirtualMachine {
    /// Gives out an interrupt number for messages. It goes nowhere until `setRoute`.
    public func allocateGSI() throws(KVMError) -> UInt32 {
        try routes.withLock { routes throws(KVMError) in try routes.allocate() }
    }

    /// Takes an interrupt number back. Detach its eventfd first.
    public func freeGSI(_ gsi: UInt32) throws(KVMError) {
        try updateRoutes { routes throws(KVMError) in routes.free(gsi) }
    }

    /// Makes an interrupt go to one place, instead of where it went before.
    public func setRoute(_ gsi: UInt32, _ route: InterruptRoute) throws(KVMError) {
        try updateRoutes { routes throws(KVMError) in try routes.set(gsi, route) }
    }

    /// Makes an interrupt go nowhere. It stays given out.
    public func removeRoute(_ gsi: UInt32) throws(KVMError) {
        try updateRoutes { routes throws(KVMError) in try routes.set(gsi, []) }
    }

    /// Changes several routes at once. KVM replaces the table as a whole and waits for running vCPUs to let go of the
    /// old one, so that one change of many routes costs as much as one of a single route. Nothing changes if `body` or
    /// the kernel throws.
    public func updateRoutes<Result>(_ body: (inout InterruptRoutes) throws(KVMError) -> Result) throws(KVMError)
        -> Result
    {
        try routes.withLock { routes throws(KVMError) in
            var changed = routes
            let result = try body(&changed)
            if !changed.leadsLike(routes) {
                try kvmCall(raw, WAFER_KVM_SET_GSI_ROUTING, changed.encoded(), "set interrupt routes")
            }
            routes = changed
            return result
        }
    }

    /// The routes as they are.
    public var currentRoutes: InterruptRoutes { routes.withLock { $0 } }

    /// Raises an interrupt whenever an eventfd is signalled, without a thread in between.
    ///
    /// - Parameters:
    ///   - event: the eventfd's descriptor. KVM holds the file, not the number.
    ///   - gsi: where it goes; the route may change later.
    ///   - resample: for level interrupts, an eventfd that KVM signals when the guest ends the interrupt. The line is
    ///     lowered then: a device that still wants service signals `event` again.
    public func attachInterrupt(_ event: CInt, gsi: UInt32, resample: CInt? = nil) throws(KVMError) {
        var request = kvm_irqfd()
        request.fd = UInt32(bitPattern: event)
        request.gsi = gsi
        if let resample {
            request.flags = UInt32(KVM_IRQFD_FLAG_RESAMPLE)
            request.resamplefd = UInt32(bitPattern: resample)
        }
        try kvmCall(raw, WAFER_KVM_IRQFD, &request, "attach an interrupt")
    }

    /// Raises an interrupt whenever an eventfd is signalled, without a thread in between.
    public func attachInterrupt(_ event: EventFD, gsi: UInt32, resample: EventFD? = nil) throws(KVMError) {
        try attachInterrupt(event.raw, gsi: gsi, resample: resample?.raw)
    }

    /// Undoes `attachInterrupt`.
    public func detachInterrupt(_ event: CInt, gsi: UInt32) throws(KVMError) {
        var request = kvm_irqfd()
        request.fd = UInt32(bitPattern: event)
        request.gsi = gsi
        request.flags = UInt32(KVM_IRQFD_FLAG_DEASSIGN)
        try kvmCall(raw, WAFER_KVM_IRQFD, &request, "detach an interrupt")
    }

    /// Undoes `attachInterrupt`.
    public func detachInterrupt(_ event: EventFD, gsi: UInt32) throws(KVMError) {
        try detachInterrupt(event.raw, gsi: gsi)
    }

    /// Sets the level of an interrupt line. An edge interrupt is a rise followed by a fall.
    public func setLine(_ gsi: UInt32, _ level: Bool) throws(KVMError) {
        var request = kvm_irq_level()
        request.irq = gsi
        request.level = level ? 1 : 0
        try kvmCall(raw, WAFER_KVM_IRQ_LINE, &request, "set an interrupt line")
    }

    /// Injects a message-signalled interrupt without a route.
    ///
    /// - Returns: whether a LAPIC took it; a guest can have it blocked.
    @discardableResult
    public func signal(_ message: MSIMessage) throws(KVMError) -> Bool {
        var request = kvm_msi()
        request.address_lo = UInt32(truncatingIfNeeded: message.address)
        request.address_hi = UInt32(truncatingIfNeeded: message.address >> 32)
        request.data = message.data
        return try kvmCall(raw, WAFER_KVM_SIGNAL_MSI, &request, "signal a message interrupt") > 0
    }
}
