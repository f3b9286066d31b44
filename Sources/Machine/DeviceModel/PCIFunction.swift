public import SavedState
import Synchronization

/// A PCI function: configuration space, windows and interrupts. Devices subclass it.
///
/// The configuration space has its own lock, because several vCPUs may reach it at once; a subclass guards the rest of
/// its state itself.
open class PCIFunction: BusDevice, @unchecked Sendable {
    // @unchecked: `space` is guarded by its mutex, `intx` set once before the guest runs, the rest immutable.

    private let space: Mutex<PCIConfigurationSpace>
    private var initial: PCIConfigurationSpace
    private let msixOffset: Int?
    private let msixBar: Int?
    private let interruptAsserted = Mutex(false)

    /// The windows the function has.
    public let bars: [PCIBar]
    /// Present if the function has message-signalled interrupts.
    public let msix: MSIX?
    /// The function's end of its INTx wire; set when it is plugged in.
    var intx: (any InterruptLine)?
    /// Where each BAR is mapped now. Guarded by the root's lock.
    var mappings: [UInt64?]
    /// How the function is booted from; nil for most.
    private(set) var expansionROM: (any PCIExpansionROM)?
    /// Where that is mapped now. Guarded by the root's lock.
    var romMapping: UInt64?
    /// Where each BAR was placed when the function was plugged in. Guarded by the root's lock.
    var places: [UInt64] = []

    /// - Parameters:
    ///   - interrupts: gives the function an MSI-X capability with its table in `msixBar`.
    ///   - msixBar: a BAR number that `bars` leaves free.
    public init(
        space: PCIConfigurationSpace, bars: [PCIBar], interrupts: (any MessageInterrupts)? = nil, msixBar: Int = 1
    ) {
        var space = space
        var bars = bars
        if let interrupts {
            let msix = MSIX(interrupts)
            bars.append(PCIBar(index: msixBar, kind: .memory32, count: MSIX.barSize))
            let (body, writable) = msix.capabilityBody(bar: msixBar)
            msixOffset = space.addCapability(MSIX.capability, body, writable: writable)
            self.msix = msix
            self.msixBar = msixBar
        } else {
            msixOffset = nil
            msix = nil
            self.msixBar = nil
        }
        for bar in bars { bar.declare(in: &space) }
        self.bars = bars
        self.mappings = Array(repeating: nil, count: bars.count)
        initial = space
        self.space = Mutex(space)
    }

    /// Gives the function an expansion ROM. Before it is plugged in.
    public func setExpansionROM(_ rom: any PCIExpansionROM) {
        expansionROM = rom
        initial.declareROM(count: rom.count)
        let initial = initial
        space.withLock { $0 = initial }
    }

    // MARK: What a device implements

    /// A read in a BAR of the device's own.
    open func readBar(_ bar: Int, offset: UInt64, width: Int) -> UInt64 { allOnes(width: width) }

    /// A write in a BAR of the device's own.
    open func writeBar(_ bar: Int, offset: UInt64, width: Int, value: UInt64) {}

    /// A BAR answers at another address now, or nowhere (nil). For moving doorbells.
    open func barMoved(_ bar: Int, to address: UInt64?) {}

    /// The guest wrote to the configuration space outside the common header and MSI-X.
    open func configurationWritten(_ offset: Int, width: Int) {}

    /// The guest reads the configuration space: a register that is computed rather than stored returns its value.
    open func configurationRead(_ offset: Int, width: Int) -> UInt64? { nil }

    /// The guest switched MSI-X on or off, or masked or unmasked the function.
    open func messageInterruptsChanged() {}

    /// Back to the state after power-on; the guest's mappings are gone already.
    open func reset() {}

    /// The function was unplugged or the machine ends: stop threads, release what is held. No call follows.
    open func close() {}

    /// The machine stands still from now on, to be saved or moved: nothing of the function may touch guest memory or raise interrupts
    /// when this returns, and what it has begun is finished. Also the state that a function restores itself into.
    open func pause() {}

    /// The machine goes on after `pause`.
    open func resume() {}

    /// The configuration space was restored: work out anew what hangs on it, beyond windows and interrupts.
    open func configurationRestored() {}

    /// The device's own part comes with its name alone, what every function has with `.pci`.
    open override var stateParts: [(suffix: String, part: any StateHolder)] { [(".pci", pciState), ("", self)] }

    /// The part of the state that every function has.
    public final var pciState: any StateHolder { PCIFunctionState(self) }

    // MARK: Interrupts

    /// Raises or lowers the function's INTx wire, as far as the guest allows it.
    public func setInterrupt(_ level: Bool) {
        let disabled = space.withLock { space in
            let status: UInt16 = space.get(PCIConfigurationSpace.Offset.status)
            space.set(PCIConfigurationSpace.Offset.status, level ? status | 1 << 3 : status & ~(1 << 3))
            return space.command & PCIConfigurationSpace.Command.interruptDisable != 0
        }
        interruptAsserted.withLock { $0 = level }
        intx?.set(level && !disabled)
    }

    // MARK: Configuration space

    /// Works on the configuration space under its lock.
    public func withSpace<T>(_ body: (inout PCIConfigurationSpace) -> T) -> T { space.withLock { body(&$0) } }

    func readConfiguration(_ offset: Int, width: Int) -> UInt64 {
        configurationRead(offset, width: width) ?? space.withLock { $0.guestRead(offset, width: width) }
    }

    func writeConfiguration(_ offset: Int, width: Int, value: UInt64) {
        let (control, disabled) = space.withLock { space in
            space.guestWrite(offset, width: width, value: value)
            return (
                msixOffset.map { space.get($0 + 2, as: UInt16.self) },
                space.command & PCIConfigurationSpace.Command.interruptDisable != 0
            )
        }
        if offset < 0x40 {
            if offset <= 5, offset + width > 4 { intx?.set(interruptAsserted.withLock { $0 } && !disabled) }
        } else if let control, let msixOffset, offset < msixOffset + 4, offset + width > msixOffset + 2 {
            msix?.setControl(control)
            messageInterruptsChanged()
        } else {
            configurationWritten(offset, width: width)
        }
    }

    func codeConfiguration(_ coder: inout FieldCoder) {
        space.withLock { space in
            // A copy, so that a mistake changes nothing.
            var copy = space
            copy.code(&coder)
            if coder.isReading, coder.failure == nil { space = copy }
        }
        var asserted = interruptAsserted.withLock { $0 }
        coder.field(&asserted, "INTx")
        msix?.code(&coder)
        guard coder.isReading, coder.failure == nil else { return }
        let (control, disabled) = space.withLock { space in
            (
                msixOffset.map { space.get($0 + 2, as: UInt16.self) },
                space.command & PCIConfigurationSpace.Command.interruptDisable != 0
            )
        }
        interruptAsserted.withLock { $0 = asserted }
        intx?.set(asserted && !disabled)
        if let control { msix?.setControl(control) }
        messageInterruptsChanged()
        configurationRestored()
    }

    func resetAll() {
        setInterrupt(false)
        space.withLock { $0 = initial }
        msix?.reset()
        reset()
    }

    // MARK: BusDevice: the region is the BAR's number

    public final override func read(region: Int, offset: UInt64, width: Int) -> UInt64 {
        if region == msixBar { return msix?.read(offset, width: width) ?? allOnes(width: width) }
        return readBar(region, offset: offset, width: width)
    }

    public final override func write(region: Int, offset: UInt64, width: Int, value: UInt64) {
        if region == msixBar {
            msix?.write(offset, width: width, value: value)
            return
        }
        writeBar(region, offset: offset, width: width, value: value)
    }
}
