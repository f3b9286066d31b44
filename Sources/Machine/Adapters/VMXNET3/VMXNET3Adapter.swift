public import DeviceModel
public import GuestMemory
public import Linux
public import NetEngine
import Synchronization

/// VMware's paravirtual network card, revision 1 of its interface.
///
/// The driver activates the card with a structure in its memory that names rings and features; after that it rings
/// doorbells, and the card interrupts. Each queue of the back end is a port with its own loop: receive queue n belongs to
/// port n, and transmit queues are dealt out to the ports in turn. A driver that has more receive queues than there are
/// ports gets all its packets in the first ones; the back end spreads flows over the ports, whatever the driver's receive
/// side scaling says.
public final class VMXNET3Adapter: PCIFunction, @unchecked Sendable {
    // @unchecked: `active`, `filter` and `isPaused` belong to the control thread; the rest is immutable, atomic or guarded.

    /// What a driver wrote into registers.
    private struct Registers {
        var shared: GuestAddress = 0
        var address: MACAddress
        var addressLow: UInt32 = 0
        /// What the last command came to.
        var result: UInt32 = 0
    }

    /// In Mbit/s, as the card tells the driver.
    private static let speed: UInt32 = 10_000

    private let permanentAddress: MACAddress
    private let backend: any NetBackend
    private let ram: GuestRAM
    private let control: EventLoop?
    private let log: @Sendable (String) -> Void
    private let ports: [VMXNET3Port]
    /// The ports' doorbells once more: ringing them this way counts no references.
    private let doorbellNumbers: [CInt]
    private let doorbells: VMXNET3Doorbells
    private let interrupts: VMXNET3Interrupts
    private let registers: Mutex<Registers>
    private let linkUp: Atomic<Bool>
    /// How many ports the driver's queues are spread over; zero while the card is not active.
    private let activePorts = Atomic<Int>(0)
    private let queueCounters = Mutex<(received: [NetCounters], transmitted: [NetCounters])>(([], []))
    private let retired = Mutex<(received: NetStatistics, transmitted: NetStatistics)>((.init(), .init()))

    private var active: VMXNET3Shared?
    private var filter: VMXNET3Filter
    private var isPaused = false

    /// - Parameters:
    ///   - backend: each of its queues becomes a port.
    ///   - memory: the guest's, which outlives the adapter.
    ///   - loops: serve the ports in turn. Empty leaves that to a test, which calls `serve`.
    ///   - interrupts: MSI-X vectors, at most 25: two a port and one make drivers use as many queues as there are ports.
    ///     Nil leaves only INTx.
    ///   - binder: lets the kernel ring doorbells; without it each costs an exit to us.
    ///   - control: the loop that starts and stops the queues; none of `loops`, for it waits for them. Nil does it on the
    ///     calling thread, for tests.
    ///   - log: takes one line for what an administrator may want to know.
    public init(
        _ settings: AdapterSettings, backend: any NetBackend, memory: GuestMemory, loops: [EventLoop],
        interrupts messages: (any MessageInterrupts)?, binder: (any DoorbellBinder)?, control: EventLoop?,
        log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(SystemError) {
        permanentAddress = settings.address
        self.backend = backend
        ram = memory.ram
        self.control = control
        self.log = log
        let interrupts = VMXNET3Interrupts(messages)
        self.interrupts = interrupts
        var ports: [VMXNET3Port] = []
        for index in 0..<min(backend.queueCount, VMXNET3.receiveQueuesMax) {
            let loop = loops.isEmpty ? nil : loops[index % loops.count]
            ports.append(
                try VMXNET3Port(backend.queue(index), loop: loop, interrupts: interrupts, log: log))
        }
        self.ports = ports
        doorbellNumbers = ports.map(\.doorbell.raw)
        doorbells = VMXNET3Doorbells(ports.map(\.doorbell), binder)
        registers = Mutex(Registers(address: settings.address))
        linkUp = Atomic(settings.isLinkUp)
        filter = VMXNET3Filter(settings.address)
        var space = PCIConfigurationSpace(
            vendor: VMXNET3.vendor, device: VMXNET3.device, revision: 1, classCode: 0x020000,
            subsystemVendor: VMXNET3.vendor, subsystem: VMXNET3.device)
        space.set(PCIConfigurationSpace.Offset.interruptPin, UInt8(1))
        super.init(
            space: space,
            bars: [
                PCIBar(index: VMXNET3.Doorbell.bar, kind: .memory32, count: 0x1000),
                PCIBar(index: VMXNET3.Register.bar, kind: .memory32, count: 0x1000),
            ], interrupts: messages, msixBar: 2)
        unsafe interrupts.function = self
        if !settings.isLinkUp { backend.setLink(up: false) }
    }

    // MARK: For the host

    /// The card's own address, which a driver may have changed.
    public var address: MACAddress { registers.withLock { $0.address } }

    /// Packets to and from the guest since power-on.
    public var statistics: (received: NetStatistics, transmitted: NetStatistics) {
        let past = retired.withLock { $0 }
        return queueCounters.withLock { counters in
            (
                counters.received.reduce(past.received) { $0 + $1.values },
                counters.transmitted.reduce(past.transmitted) { $0 + $1.values }
            )
        }
    }

    /// Plugs the cable in or out. From any thread.
    public func setLink(up: Bool) {
        if linkUp.exchange(up, ordering: .sequentiallyConsistent) == up { return }
        backend.setLink(up: up)
        soonOnControl { adapter in
            for port in adapter.ports { port.perform { $0.setLink(up: up) } }
            adapter.active?.raise(VMXNET3.Event.link, adapter.interrupts)
        }
    }

    /// Serves what waits, in a test's place of the loops.
    public func serve() { for port in ports { port.serve() } }

    /// Stops all queues, so that the guest's memory and the card can be saved. Waits.
    public override func pause() {
        onControl { adapter in
            adapter.isPaused = true
            for port in adapter.ports { port.perform { $0.stop() } }
        }
    }

    /// Goes on after `pause`.
    public override func resume() {
        onControl { adapter in
            adapter.isPaused = false
            for port in adapter.ports { port.perform { $0.start() } }
        }
    }

    // MARK: Registers

    public override func readBar(_ bar: Int, offset: UInt64, width: Int) -> UInt64 {
        switch bar {
        case VMXNET3.Doorbell.bar:
            guard offset < VMXNET3.Doorbell.transmit else { return 0 }
            return interrupts.isMasked(Int(offset / VMXNET3.Doorbell.stride)) ? 1 : 0
        case VMXNET3.Register.bar: return UInt64(readRegister(offset))
        default: return allOnes(width: width)
        }
    }

    private func readRegister(_ offset: UInt64) -> UInt32 {
        switch offset {
        // One bit for each revision that can be chosen.
        case VMXNET3.Register.revision, VMXNET3.Register.uptVersion: return 1
        case VMXNET3.Register.interruptCause: return interrupts.takeCause() ? 1 : 0
        default: break
        }
        return registers.withLock { registers in
            switch offset {
            case VMXNET3.Register.sharedLow: UInt32(truncatingIfNeeded: registers.shared)
            case VMXNET3.Register.sharedHigh: UInt32(truncatingIfNeeded: registers.shared >> 32)
            case VMXNET3.Register.command: registers.result
            case VMXNET3.Register.addressLow: Self.low(registers.address)
            case VMXNET3.Register.addressHigh: Self.high(registers.address)
            default: 0
            }
        }
    }

    public override func writeBar(_ bar: Int, offset: UInt64, width: Int, value: UInt64) {
        let value = UInt32(truncatingIfNeeded: value)
        switch bar {
        case VMXNET3.Doorbell.bar: writeDoorbell(offset, value)
        case VMXNET3.Register.bar: writeRegister(offset, value)
        default: break
        }
    }

    private func writeDoorbell(_ offset: UInt64, _ value: UInt32) {
        guard offset >= VMXNET3.Doorbell.transmit else {
            return interrupts.setMask(Int(offset / VMXNET3.Doorbell.stride), value & 1 != 0)
        }
        let count = activePorts.load(ordering: .relaxed)
        guard count > 0, offset < VMXNET3.Doorbell.receiveSecond + 0x200 else { return }
        // The rings themselves say what is new; which of a port's doorbells rang is of no interest.
        let queue = Int(offset % 0x200 / VMXNET3.Doorbell.stride)
        EventFD.signal(raw: doorbellNumbers[queue % count])
    }

    private func writeRegister(_ offset: UInt64, _ value: UInt32) {
        switch offset {
        case VMXNET3.Register.sharedLow:
            registers.withLock { $0.shared = $0.shared & ~0xffff_ffff | UInt64(value) }
            // A driver that takes its structure away goes.
            if value == 0 { onControl { $0.deactivate() } }
        case VMXNET3.Register.sharedHigh:
            registers.withLock { $0.shared = $0.shared & 0xffff_ffff | UInt64(value) << 32 }
        case VMXNET3.Register.command: run(value)
        case VMXNET3.Register.addressLow: registers.withLock { $0.addressLow = value }
        case VMXNET3.Register.addressHigh:
            registers.withLock { $0.address = Self.address(low: $0.addressLow, high: value) }
            onControl { $0.updateFilter() }
        case VMXNET3.Register.eventCause: onControl { $0.active?.acknowledge(value) }
        default: break
        }
    }

    private static func low(_ address: MACAddress) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(address[$1]) << UInt32(8 * $1) }
    }

    private static func high(_ address: MACAddress) -> UInt32 { UInt32(address[4]) | UInt32(address[5]) << 8 }

    private static func address(low: UInt32, high: UInt32) -> MACAddress {
        let all = UInt64(low) | UInt64(high & 0xffff) << 32
        return MACAddress(rawValue: all.byteSwapped >> 16)
    }

    // MARK: Commands (on the control thread)

    /// Runs on the control thread and waits.
    private func onControl(_ work: @escaping @Sendable (VMXNET3Adapter) -> Void) {
        guard let control else { return work(self) }
        control.performAndWait { work(self) }
    }

    private func soonOnControl(_ work: @escaping @Sendable (VMXNET3Adapter) -> Void) {
        guard let control else { return work(self) }
        control.perform { work(self) }
    }

    private func run(_ command: UInt32) {
        onControl { adapter in
            let result = adapter.perform(command)
            adapter.registers.withLock { $0.result = result }
        }
    }

    private func perform(_ command: UInt32) -> UInt32 {
        switch command {
        case VMXNET3.Command.activate: return activate() ? 0 : 1
        // Queues that are stopped are set up anew with the next activation.
        case VMXNET3.Command.quiesce: deactivate()
        case VMXNET3.Command.reset: resetCard()
        case VMXNET3.Command.updateReceiveMode, VMXNET3.Command.updateAddressFilters,
            VMXNET3.Command.updateVLANFilters:
            updateFilter()
        case VMXNET3.Command.updateFeatures: updateFeatures()
        case VMXNET3.Command.getStatistics: for port in ports { port.perform { $0.storeStatistics() } }
        case VMXNET3.Command.getLink:
            return linkUp.load(ordering: .relaxed) ? Self.speed << 16 | 1 : 0
        case VMXNET3.Command.getPermanentAddressLow: return Self.low(permanentAddress)
        case VMXNET3.Command.getPermanentAddressHigh: return Self.high(permanentAddress)
        case VMXNET3.Command.getDeviceLow: return UInt32(VMXNET3.device)
        case VMXNET3.Command.getDeviceHigh: return 1
        // Kind and masking of interrupts are the driver's choice.
        case VMXNET3.Command.getQueueStatus, VMXNET3.Command.getExtraInfo,
            VMXNET3.Command.getInterruptConfiguration:
            return 0
        // A later revision's question, or nobody's.
        case VMXNET3.Command.firstGet...: return .max
        // Power management, scaling and moderation: accepted, and of no effect.
        default: break
        }
        return 0
    }

    private func activate() -> Bool {
        deactivate()
        let (place, address) = registers.withLock { ($0.shared, $0.address) }
        guard let shared = VMXNET3Shared(ram, at: place) else {
            log("the driver cannot activate the card: what it shares makes no sense")
            return false
        }
        let count = min(ports.count, shared.receiveQueues)
        var transmitters: [[VMXNET3TransmitQueue]] = Array(repeating: [], count: count)
        var receivers: [VMXNET3ReceiveQueue] = []
        filter = VMXNET3Filter(address)
        filter.readMode(ram, shared: place)
        filter.readVLANs(ram, shared: place)
        let mode = mode(shared)
        for index in 0..<shared.transmitQueues {
            guard let configuration = shared.transmitConfiguration(index) else { return refuse("transmit", index) }
            transmitters[index % count].append(
                VMXNET3TransmitQueue(
                    index, configuration, ram: ram, backend: ports[index % count].backend, offloads: backend.offloads))
        }
        for index in 0..<shared.receiveQueues {
            guard let configuration = shared.receiveConfiguration(index) else { return refuse("receive", index) }
            guard index < count else { continue }
            receivers.append(
                VMXNET3ReceiveQueue(configuration, mode, ram: ram, backend: ports[index].backend))
        }
        do {
            try backend.setGuestOffloads(offloads(shared))
            try backend.setActiveQueues(count)
        } catch {
            log("the driver cannot activate the card: \(error)")
            return false
        }
        shared.clearStatus()
        active = shared
        interrupts.configure(masksItself: shared.masksItself)
        backend.setFilter(filter.listed)
        queueCounters.withLock { counters in
            counters = (receivers.map(\.counters), transmitters.flatMap { $0.map(\.counters) })
        }
        let work = Handover(transmitters, receivers)
        let isUp = linkUp.load(ordering: .relaxed)
        for index in 0..<count {
            ports[index].perform { port in
                port.install(work.transmitters[index], work.receivers[index], shared)
                port.setLink(up: isUp)
            }
        }
        activePorts.store(count, ordering: .relaxed)
        bindDoorbells(shared, count)
        if !isPaused { for index in 0..<count { ports[index].perform { $0.start() } } }
        return true
    }

    /// Carries queues that nobody uses yet to the threads of their ports.
    private struct Handover: @unchecked Sendable {
        // @unchecked: see above; each queue goes to one thread.
        let transmitters: [[VMXNET3TransmitQueue]]
        let receivers: [VMXNET3ReceiveQueue]
        init(_ transmitters: [[VMXNET3TransmitQueue]], _ receivers: [VMXNET3ReceiveQueue]) {
            self.transmitters = transmitters
            self.receivers = receivers
        }
    }

    private func refuse(_ kind: String, _ index: Int) -> Bool {
        log("the driver cannot activate the card: \(kind) queue \(index) makes no sense")
        return false
    }

    private func bindDoorbells(_ shared: VMXNET3Shared, _ count: Int) {
        var places: [(offset: UInt64, port: Int)] = []
        for index in 0..<shared.transmitQueues {
            places.append((VMXNET3.Doorbell.transmit + VMXNET3.Doorbell.stride * UInt64(index), index % count))
        }
        for index in 0..<count {
            let step = VMXNET3.Doorbell.stride * UInt64(index)
            places.append((VMXNET3.Doorbell.receive + step, index))
            places.append((VMXNET3.Doorbell.receiveSecond + step, index))
        }
        doorbells.bind(places)
    }

    private func deactivate() {
        guard active != nil else { return }
        doorbells.bind([])
        activePorts.store(0, ordering: .relaxed)
        for port in ports { port.perform { $0.remove() } }
        active = nil
        for port in ports { port.doorbell.drain() }
        queueCounters.withLock { counters in
            retired.withLock { past in
                for queue in counters.received { past.received = past.received + queue.values }
                for queue in counters.transmitted { past.transmitted = past.transmitted + queue.values }
            }
            counters = ([], [])
        }
        try? backend.setGuestOffloads([])
        try? backend.setActiveQueues(1)
    }

    private func resetCard() {
        deactivate()
        interrupts.reset()
        registers.withLock { $0.address = permanentAddress }
        filter = VMXNET3Filter(permanentAddress)
    }

    private func updateFilter() {
        let (place, address) = registers.withLock { ($0.shared, $0.address) }
        guard let active else { return }
        filter.address = address
        filter.readMode(ram, shared: place)
        filter.readVLANs(ram, shared: place)
        backend.setFilter(filter.listed)
        setMode(active)
    }

    private func updateFeatures() {
        guard let active else { return }
        do {
            try backend.setGuestOffloads(offloads(active))
        } catch { log("offloads cannot be changed: \(error)") }
        setMode(active)
    }

    private func setMode(_ shared: VMXNET3Shared) {
        let mode = mode(shared)
        for port in ports { port.perform { $0.setMode(mode) } }
    }

    private func mode(_ shared: VMXNET3Shared) -> VMXNET3ReceiveQueue.Mode {
        let features = shared.features
        var mode = VMXNET3ReceiveQueue.Mode(filter: filter)
        mode.stripsTags = features & VMXNET3.Feature.receiveVLAN != 0
        mode.verifiesChecksums = features & VMXNET3.Feature.receiveChecksum != 0
        let mtu = min(max(shared.mtu, 1500), 65535)
        mode.frameMax = offloads(shared).isDisjoint(with: .large) ? mtu + Frame.filteredLength : Frame.lengthMax
        return mode
    }

    /// What the back end may leave undone on packets to the guest.
    private func offloads(_ shared: VMXNET3Shared) -> NetOffloads {
        let features = shared.features
        guard features & VMXNET3.Feature.receiveChecksum != 0 else { return [] }
        let large = features & VMXNET3.Feature.largeReceive != 0
        return backend.offloads.intersection(large ? [.checksum, .tcp4, .tcp6] : [.checksum])
    }

    // MARK: PCI function

    public override func barMoved(_ bar: Int, to address: UInt64?) {
        if bar == VMXNET3.Doorbell.bar { doorbells.move(to: address) }
    }

    public override func messageInterruptsChanged() { interrupts.setUsesMessages(msix?.isEnabled ?? false) }

    public override func reset() {
        onControl { adapter in
            adapter.resetCard()
            adapter.registers.withLock { $0 = Registers(address: adapter.permanentAddress) }
        }
        messageInterruptsChanged()
    }

    public override func close() { onControl { $0.deactivate() } }
}
