public import DeviceModel
public import GuestMemory
public import Linux
import Synchronization

/// A Serial ATA controller (AHCI 1.3.1) with disks and CD drives on its ports.
///
/// What a guest sees is VMware's: its PCI numbers and the names of the devices. Native command queuing with 32 commands, 64-bit
/// addresses, MSI and the wire; no port multipliers, no power management of the link, no hot-plug of devices. CDs are exchanged
/// with `changeMedium`.
///
/// Each port is worked off on one of the loops. A vCPU that resets the controller waits for them, so they may never wait for a
/// vCPU.
@safe public final class AHCIController: PCIFunction, AHCIPort.Owner, @unchecked Sendable {
    // @unchecked: the registers are guarded by their mutex; the rest is immutable or atomic.

    /// What is plugged into a port.
    public enum Device {
        /// A disk of 512- or 4096-byte blocks.
        case disk(any BlockBackend)
        /// A CD drive, with the CD that is in it.
        ///
        /// - Parameter serial: at most 20 characters of printable ASCII.
        case cd((any BlockBackend)?, serial: String)
    }

    /// How many ports there can be.
    public static let portsMax = 30
    /// VMware's SATA controller.
    private static let vendor: UInt16 = 0x15ad
    private static let device: UInt16 = 0x07e0
    /// Base class 01 (mass storage), subclass 06 (Serial ATA), interface 01 (AHCI).
    private static let classCode: UInt32 = 0x01_06_01
    private static let bar = 5
    private static let barSize: UInt64 = 4096

    private let ports: [AHCIPort]
    /// The same once more: reaching them counts no references.
    private let hotPorts: UnsafeMutablePointer<Unmanaged<AHCIPort>>
    private let msi: MSI?
    private let registers: Mutex<AHCIRegisters>
    /// Ports that interrupt, a bit each.
    private let pending = Atomic<UInt32>(0)
    private let interruptEnable = Atomic<Bool>(false)
    private let wire = Mutex(false)
    private let log: @Sendable (String) -> Void
    private let trayMoved: @Sendable (_ port: Int, _ isOut: Bool) -> Void
    private let isClosed = Atomic<Bool>(false)

    /// - Parameters:
    ///   - devices: what is on the ports, from port 0 on; nil is an empty port. At most 30.
    ///   - loops: where the ports are served, in turn. Nil stands for a test that has everything done in place. Not empty.
    ///   - interrupts: one vector, for MSI. Nil leaves only INTx.
    ///   - trayMoved: the guest opened or closed a CD drive's tray. On a loop's thread.
    ///   - log: takes one line a fault.
    public init(
        _ devices: [Device?], ram: GuestRAM, loops: [EventLoop?], interrupts: (any MessageInterrupts)?,
        trayMoved: @escaping @Sendable (_ port: Int, _ isOut: Bool) -> Void = { _, _ in },
        log: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        precondition(!loops.isEmpty, "ports need a loop")
        precondition((1...Self.portsMax).contains(devices.count), "a controller has 1 to 30 ports")
        self.log = log
        self.trayMoved = trayMoved
        var ports: [AHCIPort] = []
        for (index, device) in devices.enumerated() {
            let (kind, medium, serial): (AHCIPort.Device?, (any BlockBackend)?, String) =
                switch device {
                case .disk(let backend): (.disk, backend, "")
                case .cd(let backend, let serial): (.cd, backend, serial)
                case nil: (nil, nil, "")
                }
            ports.append(
                try AHCIPort(
                    index: index, device: kind, serial: serial, medium: medium, loop: loops[index % loops.count],
                    ram: ram))
        }
        self.ports = ports
        unsafe hotPorts = .allocate(capacity: ports.count)
        for (index, port) in ports.enumerated() {
            unsafe (hotPorts + index).initialize(to: .passUnretained(port))
        }
        registers = Mutex(AHCIRegisters(portCount: ports.count))
        var space = PCIConfigurationSpace(
            vendor: Self.vendor, device: Self.device, classCode: Self.classCode, subsystemVendor: Self.vendor,
            subsystem: Self.device)
        space.set(PCIConfigurationSpace.Offset.interruptPin, UInt8(1))
        msi = interrupts.map { MSI($0, in: &space) }
        super.init(space: space, bars: [PCIBar(index: Self.bar, kind: .memory32, count: Self.barSize)])
        for port in ports {
            unsafe port.owner = self
            port.soonOnLoop { port.start() }
        }
    }

    deinit { unsafe hotPorts.deallocate() }

    /// What the disks' queues have done, by port. Readable from any thread.
    public var counters: [BlockCounters] { ports.compactMap { $0.counters } }

    // MARK: CDs

    /// Exchanges the CD in a drive, or takes it out (nil). From any thread but the loops'.
    ///
    /// - Parameter force: even if the guest has locked it in. Otherwise such a guest is asked to let go of it.
    /// - Returns: whether the CD was exchanged.
    /// - Throws: when the new CD cannot be read; the old one stays in.
    public func changeMedium(
        port: Int, to medium: (any BlockBackend)?, force: Bool = false
    ) throws(SystemError) -> Bool {
        guard ports.indices.contains(port) else { return false }
        return try ports[port].changeMediumAndWait(medium, force: force).get()
    }

    // MARK: Registers

    public override func readBar(_ bar: Int, offset: UInt64, width: Int) -> UInt64 {
        guard bar == Self.bar else { return allOnes(width: width) }
        let shift = 8 &* (offset & 3)
        let low = UInt64(readWord(offset & ~3))
        let high = width > 4 || shift > 0 ? UInt64(readWord((offset & ~3) &+ 4)) &<< 32 : 0
        return ((high | low) &>> shift) & allOnes(width: width)
    }

    private func readWord(_ offset: UInt64) -> UInt32 {
        if offset < AHCIRegisters.Offset.ports {
            return registers.withLock { $0.read(offset, pending: pending.load(ordering: .acquiring)) }
        }
        let (port, register) = place(offset)
        guard port < ports.count else { return 0 }
        return unsafe hotPorts[port]._withUnsafeGuaranteedRef { $0.read(register) }
    }

    public override func writeBar(_ bar: Int, offset: UInt64, width: Int, value: UInt64) {
        guard bar == Self.bar, offset & 3 == 0, width == 4 || width == 8 else { return }
        writeWord(offset, UInt32(truncatingIfNeeded: value))
        if width == 8 { writeWord(offset &+ 4, UInt32(truncatingIfNeeded: value >> 32)) }
    }

    private func writeWord(_ offset: UInt64, _ value: UInt32) {
        if offset >= AHCIRegisters.Offset.ports {
            let (port, register) = place(offset)
            guard port < ports.count else { return }
            unsafe hotPorts[port]._withUnsafeGuaranteedRef { $0.write(register, value) }
            return
        }
        switch offset {
        case AHCIRegisters.Offset.control:
            if value & AHCIRegisters.Control.reset != 0 { return resetController() }
            let isOn = value & AHCIRegisters.Control.interruptEnable != 0
            registers.withLock { $0.interruptEnable = isOn }
            interruptEnable.store(isOn, ordering: .sequentiallyConsistent)
            notify()
        // The ports' bits follow their own registers, and come back while those are set.
        case AHCIRegisters.Offset.interruptStatus: notify()
        default: break
        }
    }

    private func place(_ offset: UInt64) -> (port: Int, register: UInt64) {
        let inside = offset &- AHCIRegisters.Offset.ports
        return (
            Int(truncatingIfNeeded: inside / AHCIRegisters.portSize), inside % AHCIRegisters.portSize
        )
    }

    // MARK: Life

    private func resetController() {
        for port in ports { port.onLoop { port.resetAll() } }
        registers.withLock { $0.interruptEnable = false }
        interruptEnable.store(false, ordering: .sequentiallyConsistent)
        notify()
    }

    public override func reset() {
        msi?.reset()
        resetController()
    }

    /// Stops all ports with nothing in flight, so that the guest's memory and the device can be saved. Waits.
    public override func pause() {
        for port in ports { port.onLoop { port.pause() } }
    }

    /// Goes on after `pause`.
    public override func resume() {
        for port in ports { port.onLoop { port.resume() } }
    }

    public override func close() {
        if isClosed.exchange(true, ordering: .relaxed) { return }
        for port in ports { port.onLoop { port.close() } }
    }

    // MARK: Interrupts

    public override func configurationWritten(_ offset: Int, width: Int) {
        if msi?.configurationWritten(offset, width: width, of: self) == true { notify() }
    }

    func interruptChanged(port: Int, _ isInterrupting: Bool) {
        let bit: UInt32 = 1 << UInt32(truncatingIfNeeded: port)
        if isInterrupting {
            pending.bitwiseOr(bit, ordering: .sequentiallyConsistent)
        } else {
            pending.bitwiseAnd(~bit, ordering: .sequentiallyConsistent)
        }
    }

    func notify() {
        let usesMessages = msi?.isEnabled ?? false
        if usesMessages, isInterrupting { msi?.signal() }
        wire.withLock { level in
            let now = !usesMessages && isInterrupting
            if now == level { return }
            level = now
            setInterrupt(now)
        }
    }

    private var isInterrupting: Bool {
        interruptEnable.load(ordering: .sequentiallyConsistent)
            && pending.load(ordering: .sequentiallyConsistent) != 0
    }

    // MARK: For the ports

    func trayMoved(port: Int, isOut: Bool) { trayMoved(port, isOut) }

    func failed(port: Int, _ reason: String) { log("SATA port \(port): \(reason)") }
}
