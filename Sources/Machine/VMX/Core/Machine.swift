public import Chipset
public import DeviceModel
public import GuestMemory
import GuestTools
public import KVM
public import Linux
import SavedState
import Synchronization

/// One virtual machine: memory, vCPUs, chipset, PCI bus and the devices on it.
///
/// Built and controlled on one thread, that of `loop`. Guests reach it only through their vCPUs, which hand what
/// concerns the whole machine (reset, power off, failure) over to the loop.
public final class Machine: @unchecked Sendable {
    // @unchecked: everything mutable here is touched on the loop's thread only, which `assertOwned` checks.

    /// What the machine is made with, apart from its devices.
    public struct Shape: Sendable {
        /// Bytes of RAM; a multiple of 4 KiB.
        public var memory: Int
        /// 1...64
        public var processors: Int
        public var coresPerSocket: Int
        public var processorModel: String
        public var hugePages: Bool
        public var nestedVirtualization: Bool
        /// Seconds that the guest's clock is ahead of UTC.
        public var clockOffset: Int64
        /// Firmware starts the machine: it finds chipset and PCI functions as they are after power-on.
        public var hasFirmware: Bool
        /// What the guest takes its hypervisor for.
        public var hypervisor: HypervisorInterface
        /// The guest's processors say that they are virtual.
        public var hypervisorVisible: Bool
        /// `guestinfo.…` of the machine's file, by names without that.
        public var guestVariables: [String: String]
        /// Tools in the guest set its clock by the host's all the time.
        public var synchronizesTime: Bool
        /// 16 bytes.
        public var uuid: [UInt8]

        public init(memory: Int, processors: Int) {
            self.memory = memory
            self.processors = processors
            coresPerSocket = 1
            processorModel = "host"
            hugePages = false
            nestedVirtualization = false
            clockOffset = 0
            hasFirmware = false
            hypervisor = .kvm
            hypervisorVisible = true
            guestVariables = [:]
            synchronizesTime = false
            uuid = [UInt8](repeating: 0, count: 16)
        }
    }

    /// In which state the machine is, in vim25's terms where it has them.
    public enum State: String, Sendable {
        case poweredOff
        case running
        case paused
        /// Paused until somebody answers a question.
        case question
        /// KVM gave up on the guest; the log says why.
        case crashed
        /// Its state is in a file; the process ends.
        case suspended
    }

    public let shape: Shape
    public let topology: CPUTopology
    public let loop: EventLoop
    /// Where devices without a thread of their own do their work. Never waits for a vCPU or for `loop`, since both wait
    /// for it.
    public let deviceLoop: EventLoop
    public let log: MachineLog
    public let system: KVMSystem
    public let virtualMachine: VirtualMachine
    public let memory: GuestMemory
    public let ports = AddressSpace.ports()
    public let memorySpace = AddressSpace.memory()
    public let interrupts: any InterruptController
    public let doorbells: any DoorbellBinder
    public let pci: PCIRoot
    private let router: PCIInterruptRouter
    public let windows: PCIWindows
    public let power: PowerManagement
    public let clock: RealTimeClock
    private let resetPorts: ResetPorts
    let backdoor: Backdoor
    /// Asks for a reset, as a guest does; from any thread.
    let requestReset: @Sendable () -> Void
    /// The area below 1 MiB that is RAM or ROM as firmware wants it.
    let shadow: ShadowMemory

    /// Fills memory and sets the first vCPU's registers, at power-on and after every reset.
    public var boot: ((Machine, VirtualCPU) throws -> Void)?
    /// What is reset with the machine besides the PCI functions: serial ports.
    var resettable: [() -> Void] = []
    /// What has state, under names that are unique in the machine and the same each time it is built.
    private(set) var parts: [(name: String, device: BusDevice)] = []
    /// Called when the machine has left `running` for good: on power off and after a failure.
    public var ended: ((State) -> Void)?
    /// Called with every change of state.
    public var changed: ((State) -> Void)?

    public private(set) var state = State.poweredOff
    private(set) var vcpus: [VirtualCPUThread] = []
    private var vcpusRun = false
    /// How often the guest was reset since power-on.
    public private(set) var resets = 0
    private let initial: InitialState
    private let events: GuestEvents

    /// Builds a machine without devices on its bus.
    ///
    /// - Parameter loop: not started yet or owned by the caller's thread.
    public init(_ shape: Shape, loop: EventLoop, deviceLoop: EventLoop, log: MachineLog) throws {
        self.shape = shape
        self.loop = loop
        self.deviceLoop = deviceLoop
        self.log = log
        system = try KVMSystem()
        var processors = try ProcessorPolicy(shape, system)
        topology = processors.topology
        var configuration = VirtualMachine.Configuration()
        configuration.vcpuIDLimit = (topology.apicIDs.max() ?? 0) + 1
        virtualMachine = try VirtualMachine(system, configuration)
        memory = try GuestMemory(count: shape.memory, hugePages: shape.hugePages)
        shadow = try ShadowMemory(memory, virtualMachine)
        let interrupts = KVMInterruptController(virtualMachine)
        self.interrupts = interrupts
        doorbells = KVMDoorbells(virtualMachine)

        let events = GuestEvents()
        self.events = events
        requestReset = { events.raise(.reset("the guest asked for it")) }
        resetPorts = ResetPorts(reset: requestReset)
        windows = Machine.windows(
            memory: memory, physicalAddressBits: shape.hasFirmware ? processors.physicalAddressBits : nil)
        router = PCIInterruptRouter(interrupts)
        pci = PCIRoot(
            ports: ports, memory: memorySpace, windows: windows,
            interruptLines: router.wires.map { SharedInterruptLine($0) }, resetControl: resetPorts,
            isSetUp: !shape.hasFirmware)
        power = PowerManagement(sci: interrupts.line(PowerManagement.interrupt)) { events.raise(.powerOff) }
        clock = RealTimeClock(
            interrupt: interrupts.line(RealTimeClock.interrupt), loop: deviceLoop, offset: shape.clockOffset)

        var threads: [VirtualCPU] = []
        for (index, identifier) in topology.apicIDs.enumerated() {
            let vcpu = try VirtualCPU(virtualMachine, id: identifier)
            if index == 0 { processors.tell(timeStampFrequency: vcpu.timeStampFrequency()) }
            if processors.hasHyperV { try vcpu.enableHyperVInterruptController() }
            try vcpu.setCPUID(processors.leaves(of: index))
            threads.append(vcpu)
        }
        initial = try InitialState(virtualMachine, threads)
        var facts = Backdoor.MachineFacts(
            uuid: shape.uuid, memoryMegabytes: shape.memory >> 20,
            timeStampFrequency: UInt64(threads.first?.timeStampFrequency() ?? 0) * 1000,
            clockOffset: shape.clockOffset)
        facts.variables = shape.guestVariables
        facts.synchronizesTime = shape.synchronizesTime
        backdoor = Backdoor(facts, log: { log.info("guest: \($0)") })
        try mapChipset()
        for vcpu in threads {
            vcpus.append(
                VirtualCPUThread(vcpu, ports: ports, memory: memorySpace, backdoor: backdoor) { event in
                    events.raise(event)
                })
        }
        events.sink = { [weak self] event in self?.raisedByGuest(event) }
    }

    /// Where BARs go: above RAM, inside what the processor can address.
    ///
    /// - Parameter physicalAddressBits: of the guest's processors, where firmware places BARs: some of it goes to the far end.
    private static func windows(memory: GuestMemory, physicalAddressBits: Int?) -> PCIWindows {
        let top = memory.regions.last?.end ?? 0
        let size: UInt64 = 32 << 30
        let start = max((top + size - 1) & ~(size - 1), size)
        var end = start + size
        if let physicalAddressBits { end = max(end, 1 << UInt64(physicalAddressBits)) }
        return PCIWindows(
            ports: 0xc000...0xfeff, memory32: 0xc000_0000...0xfebf_ffff, memory64: start...(end - 1))
    }

    private func mapChipset() throws {
        try ports.map(pci, region: PCIRoot.portRegion, at: PCIRoot.port, count: 8)
        try memorySpace.map(pci, region: PCIRoot.ecamRegion, at: Q35.ecamBase, count: Q35.ecamSize)
        try ports.map(
            power, region: PowerManagement.registerRegion, at: PowerManagement.port, count: PowerManagement.portCount)
        try ports.map(power, region: PowerManagement.commandRegion, at: PowerManagement.commandPort, count: 2)
        try ports.map(clock, at: RealTimeClock.port, count: RealTimeClock.portCount)
        try ports.map(resetPorts, region: ResetPorts.keyboardRegion, at: ResetPorts.keyboardPort, count: 1)
        try ports.map(resetPorts, region: ResetPorts.systemControlRegion, at: ResetPorts.systemControlPort, count: 1)
        try memorySpace.map(shadow, at: ShadowMemory.start, count: ShadowMemory.count)
        let bridge = HostBridge(isSetUp: !shape.hasFirmware) { [shadow] access in shadow.apply(access) }
        try pci.plug(bridge, at: Q35.hostBridgeAddress)
        let isaBridge = ISABridge(router: router, isSetUp: !shape.hasFirmware)
        try pci.plug(isaBridge, at: Q35.isaBridgeAddress)
        shadow.apply(bridge.shadow)
        for (name, device): (String, BusDevice) in [
            ("pci", pci), ("hostBridge", bridge), ("isaBridge", isaBridge), ("power", power), ("rtc", clock),
            ("resetPorts", resetPorts), ("shadow", shadow),
        ] { addPart(name, device) }
    }

    /// Takes a device into what is saved of the machine.
    func addPart(_ name: String, _ device: BusDevice) {
        precondition(!parts.contains { $0.name == name }, "two parts have the same name")
        parts.append((name, device))
    }

    /// Forgets a device that is gone.
    func removePart(_ name: String) { parts.removeAll { $0.name == name } }

    func assertOwned() { precondition(loop.isCurrent, "the machine is controlled on its loop's thread") }

    // MARK: What guests ask for

    /// On a vCPU thread: stop the vCPUs soon, and decide on the loop.
    private func raisedByGuest(_ event: GuestEvent) {
        for thread in vcpus { thread.stopSoon() }
        loop.perform {
            self.events.finish()
            self.handle(event)
        }
    }

    private func handle(_ event: GuestEvent) {
        guard state == .running else { return }
        switch event {
        case .reset(let reason):
            log.info("Reset: \(reason)")
            do { try reset() } catch { fail("cannot reset: \(error)") }
        case .powerOff:
            log.info("The guest powered the machine off")
            powerOff()
        case .failed(let reason): fail(reason)
        }
    }

    private func fail(_ reason: String) {
        log.error(reason)
        parkAll()
        enter(.crashed)
        ended?(.crashed)
    }

    // MARK: Power

    private func enter(_ state: State) {
        if self.state == state { return }
        log.info("State: \(self.state.rawValue) -> \(state.rawValue)")
        self.state = state
        changed?(state)
    }

    /// Starts the guest.
    public func powerOn() throws {
        assertOwned()
        precondition(state == .poweredOff, "powered on twice")
        for thread in vcpus { try thread.start() }
        try prepareGuest()
        enter(.running)
        runAll()
    }

    /// Lets the guest go on where `restore` puts it, instead of starting it.
    ///
    /// - Parameter restore: gives memory, processors and devices their state. What it throws leaves a machine that never runs.
    public func powerOn(restoring restore: (Machine) throws -> Void) throws {
        assertOwned()
        precondition(state == .poweredOff, "powered on twice")
        pci.pauseAll()
        try restore(self)
        for thread in vcpus { try thread.start() }
        enter(.running)
        pci.resumeAll()
        goOn()
    }

    /// Stops the guest at once and for good, as if the plug were pulled.
    public func powerOff() { end(.poweredOff) }

    private func end(_ last: State) {
        assertOwned()
        guard state != .poweredOff, state != .suspended else { return }
        parkAll()
        for thread in vcpus { thread.end() }
        for (_, function) in pci.functions { function.close() }
        enter(last)
        ended?(last)
    }

    /// Stops the guest for good, once `save` has everything of it.
    ///
    /// - Parameter save: called while processors and devices stand still; what it throws lets the machine go on as before.
    public func suspend(_ save: (Machine) throws -> Void) throws {
        assertOwned()
        guard state == .running || state == .paused else {
            throw StateError.cannotSave(section: "machine", "it is \(state.rawValue)")
        }
        let ran = vcpusRun
        parkAll()
        do {
            // What the guest asked for with its last instruction is still to come.
            if events.isPending {
                throw StateError.cannotSave(section: "machine", "it is about to be reset or powered off")
            }
            pci.pauseAll()
            try save(self)
        } catch {
            pci.resumeAll()
            if ran { goOn() }
            throw error
        }
        end(.suspended)
    }

    /// After a stop that the guest was not told of.
    private func goOn() {
        // Its watchdogs forgive the gap; a guest that cannot be told may complain, and goes on.
        for thread in vcpus { try? thread.vcpu.forgiveGap() }
        runAll()
    }

    /// Resets the machine as the reset button does.
    public func reset() throws {
        assertOwned()
        parkAll()
        pci.reset()
        power.reset()
        clock.reset()
        backdoor.reset()
        for reset in resettable { reset() }
        try initial.restore(virtualMachine, vcpus.map(\.vcpu))
        resets += 1
        try prepareGuest()
        enter(.running)
        runAll()
    }

    /// Stops the vCPUs; devices finish what they have begun.
    public func pause(_ reason: State = .paused) {
        assertOwned()
        guard state == .running else { return }
        parkAll()
        enter(reason)
    }

    /// Goes on after `pause`.
    public func resume() {
        assertOwned()
        guard state == .paused || state == .question else { return }
        enter(.running)
        runAll()
        // Its clock stood still, or jumped with the counter it is made of.
        _ = backdoor.ask(.synchronizeTime)
    }

    /// Has the vCPUs let go of functions that were unplugged. They keep them, and what those have open, until they access
    /// memory next, which a guest whose doorbells ring in the kernel may not do for long.
    func forgetUnplugged() {
        assertOwned()
        let ran = vcpusRun
        parkAll()
        for thread in vcpus { thread.refreshViews() }
        if ran { runAll() }
    }

    /// Asks the guest to shut down: its tools if they run, else by its power button.
    ///
    /// - Returns: false if nobody listens.
    func askToShutDown() -> Bool { backdoor.ask(.halt) || power.pressPowerButton() }

    private func parkAll() {
        guard vcpusRun else { return }
        for thread in vcpus { thread.requestPark() }
        for thread in vcpus { thread.waitUntilParked() }
        vcpusRun = false
    }

    private func runAll() {
        guard !vcpusRun else { return }
        vcpusRun = true
        for thread in vcpus { thread.run() }
    }

    private func prepareGuest() throws {
        guard let boot, let first = vcpus.first else { return }
        try boot(self, first.vcpu)
    }
}

/// Carries requests from devices, which exist before the machine is whole, to it.
private final class GuestEvents: @unchecked Sendable {
    // @unchecked: set once, before any guest runs.
    var sink: (@Sendable (GuestEvent) -> Void)?
    private let pending = Atomic<Int>(0)

    func raise(_ event: GuestEvent) {
        pending.add(1, ordering: .sequentiallyConsistent)
        sink?(event)
    }

    /// An event that was raised has come to the loop.
    func finish() { pending.subtract(1, ordering: .sequentiallyConsistent) }

    /// Whether one has not.
    var isPending: Bool { pending.load(ordering: .sequentiallyConsistent) > 0 }
}
