public import DeviceModel
public import GuestMemory
public import Linux
public import NetEngine
import Synchronization

/// One of Intel's gigabit network cards: 82545EM ("e1000") or 82574L ("e1000e").
///
/// Registers that concern the data path as a whole are handed to the queues' thread, which the writing vCPU waits for; ends
/// of rings and interrupt registers are atomics or under a short lock. The receive side has one queue; a driver that
/// spreads flows over two gets all in the first.
public final class E1000Adapter: PCIFunction, @unchecked Sendable {
    // @unchecked: immutable, atomic or guarded.

    public let model: E1000Model
    private let backend: any NetBackend
    private let ram: GuestRAM
    private let log: @Sendable (String) -> Void
    private let registers: Mutex<E1000Registers>
    private let interrupts: E1000Interrupts
    private let engine: E1000Engine
    /// Whether the driver wants checksums looked at, as the back end was told last.
    private let verifies = Atomic<Bool>(false)

    /// - Parameters:
    ///   - backend: its first queue is used.
    ///   - memory: the guest's, which outlives the adapter.
    ///   - loop: serves the queues. Nil leaves that to a test, which calls `serve`.
    ///   - interrupts: MSI-X vectors, `model.vectorCount` of them; nil, and always for the 82545EM, leaves only INTx.
    ///   - log: takes one line for what an administrator may want to know.
    public init(
        _ settings: AdapterSettings, _ model: E1000Model, backend: any NetBackend, memory: GuestMemory,
        loop: EventLoop?, interrupts messages: (any MessageInterrupts)?,
        log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(SystemError) {
        self.model = model
        self.backend = backend
        self.log = log
        ram = memory.ram
        let vectors = model.vectorCount > 0 ? messages : nil
        let interrupts = E1000Interrupts(model, vectors)
        self.interrupts = interrupts
        registers = Mutex(E1000Registers(settings, model))
        let engine = try E1000Engine(
            ram, backend.queue(0), offloads: backend.offloads, loop: loop, interrupts: interrupts, log: log)
        self.engine = engine
        super.init(
            space: Self.space(model),
            bars: [
                PCIBar(index: 0, kind: .memory32, count: 0x20000),
                PCIBar(index: model.flashBar, kind: .memory32, count: model.flashCount),
                PCIBar(index: model.portBar, kind: .port, count: model.portCount),
            ], interrupts: vectors, msixBar: E1000Model.vectorBar)
        unsafe interrupts.function = self
        if !settings.isLinkUp { backend.setLink(up: false) }
        engine.setFilter(registers.withLock { E1000Filter($0.words) })
    }

    private static func space(_ model: E1000Model) -> PCIConfigurationSpace {
        var space = PCIConfigurationSpace(
            vendor: 0x8086, device: model.device, revision: model.revision, classCode: 0x020000,
            subsystemVendor: 0x15ad, subsystem: model.subsystem)
        space.set(PCIConfigurationSpace.Offset.interruptPin, UInt8(1))
        // Power management 1.2; states can be chosen, and lose nothing (PCI Power Management 1.2, section 3.2).
        _ = space.addCapability(0x01, [0x03, 0, 0x08, 0, 0, 0], writable: [0, 0, 0x03, 0x01])
        if model == .e1000e {
            // PCI Express, version 2, an endpoint of the root complex (PCI Express Base 4.0, section 7.5.3).
            var body = [UInt8](repeating: 0, count: 0x3a)
            body[0] = 0x92
            body[3] = 0x80  // errors are reported by their kind
            var writable = [UInt8](repeating: 0, count: 0x3a)
            (writable[6], writable[7]) = (0x1f, 0x70)
            _ = space.addCapability(0x10, body, writable: writable)
        }
        return space
    }

    // MARK: For the host

    /// The card's permanent address.
    public var address: MACAddress {
        registers.withLock { registers in
            let words = registers.nvm.words
            return MACAddress(
                rawValue: (0..<3).reduce(0 as UInt64) { $0 << 16 | UInt64(words[$1].byteSwapped) })
        }
    }

    /// Packets to and from the guest since power-on.
    public var statistics: (received: NetStatistics, transmitted: NetStatistics) { engine.statistics }

    /// Plugs the cable in or out. From any thread.
    public func setLink(up: Bool) {
        let changed = registers.withLock { registers in
            let changed = registers.isLinkUp != up
            registers.isLinkUp = up
            return changed
        }
        guard changed else { return }
        backend.setLink(up: up)
        configure()
        interrupts.raise(E1000Cause.link)
    }

    /// Serves what waits, in a test's place of the loop.
    public func serve() { engine.perform { $0.serveAll() } }

    /// Stops the queues, so that the guest's memory and the card can be saved. Waits.
    public override func pause() { engine.perform { $0.stop() } }

    /// Goes on after `pause`.
    public override func resume() { engine.perform { $0.resume() } }

    // MARK: Registers

    public override func readBar(_ bar: Int, offset: UInt64, width: Int) -> UInt64 {
        switch bar {
        case 0:
            // Registers are 32 bits wide; parts of them are read by few.
            let word = UInt64(readRegister(Int(truncatingIfNeeded: offset & ~3)))
            let low = word >> (8 * (offset & 3))
            return width == 8 ? low | UInt64(readRegister(Int(truncatingIfNeeded: offset &+ 4))) << 32 : low
        case model.portBar: return UInt64(readPort(offset))
        default: return allOnes(width: width)
        }
    }

    public override func writeBar(_ bar: Int, offset: UInt64, width: Int, value: UInt64) {
        guard width >= 4, offset & 3 == 0 else { return }
        let value32 = UInt32(truncatingIfNeeded: value)
        switch bar {
        case 0:
            writeRegister(Int(truncatingIfNeeded: offset), value32)
            if width == 8 { writeRegister(Int(truncatingIfNeeded: offset &+ 4), UInt32(value >> 32)) }
        case model.portBar:
            // The address, then the data (8254x manual, section 13.2.3).
            if offset == 0 {
                registers.withLock { $0.portAddress = value32 }
            } else if offset == 4 {
                writeRegister(Int(registers.withLock { $0.portAddress & 0x1_fffc }), value32)
            }
        default: break
        }
    }

    private func readPort(_ offset: UInt64) -> UInt32 {
        let address = registers.withLock { $0.portAddress }
        switch offset {
        case 0: return address
        case 4: return readRegister(Int(address & 0x1_fffc))
        default: return .max
        }
    }

    private func readRegister(_ offset: Int) -> UInt32 {
        switch offset {
        case E1000Register.interruptCause: return interrupts.takeCause()
        case E1000Register.interruptThrottle..<(E1000Register.vectorThrottle + 20):
            return interrupts.read(offset) ?? 0
        case E1000Register.receiveHead: return engine.ends.receiveHead.load(ordering: .acquiring)
        case E1000Register.receiveTail: return engine.ends.receiveTail.load(ordering: .relaxed)
        case E1000Register.transmitHead: return engine.ends.transmitHead(0)
        case E1000Register.transmitTail: return engine.ends.transmitTail(0)
        case E1000Register.transmitHead + E1000Register.queueStride where model.transmitQueues > 1:
            return engine.ends.transmitHead(1)
        case E1000Register.transmitTail + E1000Register.queueStride where model.transmitQueues > 1:
            return engine.ends.transmitTail(1)
        default: return registers.withLock { $0.read(offset, engine.numbers) }
        }
    }

    private func writeRegister(_ offset: Int, _ value: UInt32) {
        switch offset {
        case E1000Register.transmitTail: return engine.moveTransmitTail(0, value & 0xffff)
        case E1000Register.receiveTail: return engine.moveReceiveTail(value & 0xffff)
        case E1000Register.transmitTail + E1000Register.queueStride where model.transmitQueues > 1:
            return engine.moveTransmitTail(1, value & 0xffff)
        case E1000Register.receiveHead: return engine.perform { $0.setHead(nil, value & 0xffff) }
        case E1000Register.transmitHead: return engine.perform { $0.setHead(0, value & 0xffff) }
        case E1000Register.transmitHead + E1000Register.queueStride where model.transmitQueues > 1:
            return engine.perform { $0.setHead(1, value & 0xffff) }
        default: break
        }
        if interrupts.write(offset, value) { return }
        apply(registers.withLock { $0.write(offset, value) })
    }

    private func apply(_ effects: E1000Registers.Effects) {
        if effects.isEmpty { return }
        if effects.contains(.reset) { return resetCard() }
        if effects.contains(.interruptControl) {
            interrupts.setControl(registers.withLock { $0[E1000Register.controlExtended] })
        }
        if effects.contains(.filter) { updateFilter() }
        if effects.contains(.configuration) { configure() }
        if effects.contains(.linkChanged) { interrupts.raise(E1000Cause.link) }
        if effects.contains(.mdiDone) { interrupts.raise(E1000Cause.mdiDone) }
    }

    private func updateFilter() {
        let filter = registers.withLock { E1000Filter($0.words) }
        engine.setFilter(filter)
        backend.setFilter(filter.listed)
    }

    /// Tells the queues of the registers as they are now.
    private func configure() {
        let (model, ram) = (model, ram)
        engine.perform { [self] engine in
            let configuration = registers.withLock { E1000Configuration($0, model, ram) }
            let wanted = configuration.verifiesTransport
            if verifies.exchange(wanted, ordering: .relaxed) != wanted {
                do {
                    try backend.setGuestOffloads(wanted ? backend.offloads.intersection(.checksum) : [])
                } catch { log("offloads cannot be changed: \(error)") }
            }
            engine.configure(configuration)
        }
    }

    private func resetCard(powerOn: Bool = false) {
        let (model, ram) = (model, ram)
        engine.perform { [self] engine in
            let configuration = registers.withLock { registers in
                if powerOn { registers.powerOn(engine.numbers) } else { registers.reset(engine.numbers) }
                return E1000Configuration(registers, model, ram)
            }
            engine.reset(configuration)
        }
        interrupts.reset()
        updateFilter()
        configure()
    }

    // MARK: PCI function

    public override func messageInterruptsChanged() { interrupts.setUsesMessages(msix?.isEnabled ?? false) }

    public override func reset() {
        resetCard(powerOn: true)
        messageInterruptsChanged()
    }

    public override func close() { engine.perform { $0.stop() } }
}
