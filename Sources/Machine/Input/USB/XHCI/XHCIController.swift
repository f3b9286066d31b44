public import DeviceModel
public import GuestMemory
public import Linux
import Synchronization

/// A USB 3 host controller (xHCI 1.2, with the register level of 1.0) with four USB 2 and four USB 3 ports.
///
/// It is the "QEMU XHCI Host Controller" (1B36:000D) to the guest, which Linux, Windows since 8, OVMF and SeaBIOS drive by its
/// class without any special case. VMware's (15AD:0779) is known by fewer of them. Its window is a 32-bit one, because SeaBIOS
/// and 32-bit guests do not reach windows above 4 GiB.
///
/// Work is done where it comes up: on the vCPU that rings a doorbell, on the thread that brings input. What one doorbell can
/// cause is bounded (`XHCIEngine.budgetMax`); what is left, and interrupts that moderation holds back, come later on the loop.
public final class XHCIController: PCIFunction, @unchecked Sendable {
    // @unchecked: all state is immutable, atomic or guarded by a mutex.

    /// How many vectors of message-signalled interrupts to make for it.
    public static let vectorCount = XHCIRegisters.interrupterCount
    /// Ports for built-in devices: 1...4.
    public static let portCount = XHCIRegisters.portsPerProtocol
    private static let bar = 0

    private struct Guarded {
        var engine: XHCIEngine
        /// Level of the INTx wire.
        var line = false
    }

    private let guarded: Mutex<Guarded>
    private let loop: EventLoop?
    private let log: @Sendable (String) -> Void
    private let now: @Sendable () -> UInt64
    private let timer = Mutex<Timer?>(nil)
    private let faultLogged = Atomic<Bool>(false)

    /// - Parameters:
    ///   - interrupts: message-signalled vectors, `vectorCount` of them; nil leaves INTx.
    ///   - loop: where what has to wait is done. Nil leaves it until the next access, for tests.
    ///   - log: takes one line when a guest's mistake stops the controller.
    ///   - now: nanoseconds that never step; another clock for tests.
    public init(
        ram: GuestRAM, interrupts: (any MessageInterrupts)?, loop: EventLoop?,
        log: @escaping @Sendable (String) -> Void,
        now: @escaping @Sendable () -> UInt64 = monotonicNanoseconds
    ) {
        guarded = Mutex(Guarded(engine: XHCIEngine(ram: ram)))
        self.loop = loop
        self.log = log
        self.now = now
        var space = PCIConfigurationSpace(
            vendor: 0x1b36, device: 0x000d, revision: 1, classCode: 0x0c0330, subsystemVendor: 0x1af4,
            subsystem: 0x1100)
        space.set(PCIConfigurationSpace.Offset.interruptPin, UInt8(1))
        // Serial bus release number: USB 3.0 (section 5.2.3).
        space.set(0x60, UInt8(0x30))
        super.init(
            space: space, bars: [PCIBar(index: Self.bar, kind: .memory32, count: XHCIRegisters.windowSize)],
            interrupts: interrupts, msixBar: 2)
        loop?.perform { self.makeTimer() }
    }

    /// On the loop's thread.
    private func makeTimer() {
        guard let loop else { return }
        // Without a timer, for want of descriptors, interrupts come late but do come: with the next access or input.
        guard let timer = try? Timer(on: loop, { [weak self] in self?.proceed() }) else { return }
        self.timer.withLock { $0 = timer }
        proceed()
    }

    /// Goes on with what had to wait.
    private func proceed() { change { engine, now in engine.work(now: now) } }

    public override func reset() {
        change { engine, _ in
            engine.usesMessages = false
            engine.reset()
        }
        faultLogged.store(false, ordering: .relaxed)
    }

    public override func close() {
        guard let loop else { return }
        // After `makeTimer`, which was handed over before.
        loop.performAndWait { self.timer.withLock { $0.take() }?.close(on: loop) }
    }

    // MARK: Devices

    /// A device's way here. It does not keep the controller.
    private final class Attachment: USBPort {
        private weak let controller: XHCIController?
        private let port: Int

        init(_ controller: XHCIController, _ port: Int) {
            self.controller = controller
            self.port = port
        }

        func hasData(endpoint: UInt8, wakes: Bool) {
            controller?.change { engine, now in
                engine.deviceHasData(port: port, endpoint: Int(endpoint), wakes: wakes, now: now)
            }
        }
    }

    /// Plugs a device in; one that is there is unplugged. From any thread.
    ///
    /// - Parameter port: 1...`portCount`. Another port does nothing.
    public func attach(_ device: any USBDevice, port: Int) {
        guard (1...Self.portCount).contains(port) else { return }
        detach(port: port)
        device.attached(to: Attachment(self, port))
        change { engine, now in engine.attach(device, index: port - 1, now: now) }
    }

    /// Unplugs what is at a port. From any thread.
    public func detach(port: Int) {
        guard (1...Self.portCount).contains(port) else { return }
        let device = guarded.withLock { $0.engine.devices[port - 1] }
        guard let device else { return }
        device.attached(to: nil)
        change { engine, now in engine.detach(port - 1, now: now) }
        device.reset()
    }

    // MARK: Registers

    public override func readBar(_ bar: Int, offset: UInt64, width: Int) -> UInt64 {
        guard bar == Self.bar, offset < XHCIRegisters.windowSize, width <= 4 || offset & 7 == 0 else {
            return allOnes(width: width)
        }
        let now = now()
        return guarded.withLock { guarded in
            let low = UInt64(guarded.engine.read(offset & ~3, now: now))
            if width == 8 { return low | UInt64(guarded.engine.read(offset &+ 4, now: now)) << 32 }
            return low >> (8 * (offset & 3)) & allOnes(width: width)
        }
    }

    public override func writeBar(_ bar: Int, offset: UInt64, width: Int, value: UInt64) {
        guard bar == Self.bar, width == 4 || width == 8, offset & UInt64(width - 1) == 0 else { return }
        let (low, high) = (UInt32(truncatingIfNeeded: value), UInt32(truncatingIfNeeded: value >> 32))
        change { engine, now in
            if width == 4 { return engine.write(offset, low, now: now) }
            // The half that something happens at goes last.
            if XHCIRegisters.actsOnLowHalf(offset) {
                engine.write(offset &+ 4, high, now: now)
                engine.write(offset, low, now: now)
            } else {
                engine.write(offset, low, now: now)
                engine.write(offset &+ 4, high, now: now)
            }
        }
    }

    // MARK: Interrupts

    public override func messageInterruptsChanged() {
        let enabled = msix?.isEnabled ?? false
        change { engine, now in
            engine.usesMessages = enabled
            engine.updateInterrupts(now: now)
        }
    }

    /// Changes the engine's state and carries out what it wants; under the lock, so that wires move in order.
    private func change(_ body: (inout XHCIEngine, _ now: UInt64) -> Void) {
        let now = now()
        let (callAt, fault) = guarded.withLock { guarded -> (UInt64?, XHCIEngine.Fault?) in
            body(&guarded.engine, now)
            let wants = guarded.engine.wants
            guarded.engine.wants = XHCIEngine.Wants()
            guarded.engine.wants.line = wants.line
            var messages = wants.messages
            while messages != 0 {
                msix?.event(messages.trailingZeroBitCount)?.signal()
                messages &= messages - 1
            }
            if wants.line != guarded.line {
                guarded.line = wants.line
                setInterrupt(wants.line)
            }
            return (wants.callAt, wants.fault)
        }
        if let callAt { timer.withLock { $0?.set(after: callAt &- min(callAt, now)) } }
        if let fault, !faultLogged.exchange(true, ordering: .relaxed) { log("stopped: \(fault.rawValue)") }
    }
}
