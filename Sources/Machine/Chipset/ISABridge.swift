public import DeviceModel
import SavedState
import Synchronization

/// 00:1f.0 of a Q35, the bridge to what used to be on ISA (Intel ICH9 data sheet, section 13.1; 8086:2918).
///
/// Of its registers it carries out the PIRQ routing: which of the old interrupts a PCI wire raises for systems that do not use the
/// IOAPIC. PMBASE, ACPI control and RCBA are stored; the power management ports are always where every firmware puts them.
public final class ISABridge: PCIFunction, @unchecked Sendable {
    // @unchecked: as for PCIFunction.

    /// PIRQA to D and E to H (13.1.17 and 13.1.20): bits 3:0 interrupt, bit 7 off.
    private static let routes = [0x60, 0x61, 0x62, 0x63, 0x68, 0x69, 0x6a, 0x6b]

    private let router: PCIInterruptRouter

    /// - Parameter isSetUp: the machine starts without firmware, so power management is on.
    public init(router: PCIInterruptRouter, isSetUp: Bool) {
        self.router = router
        var space = PCIConfigurationSpace(
            vendor: 0x8086, device: 0x2918, revision: 2, classCode: 0x060100, subsystemVendor: 0x1af4, subsystem: 0x1100
        )
        space.set(PCIConfigurationSpace.Offset.headerType, UInt8(0x80))
        // PMBASE (13.1.13) and ACPI control (13.1.14).
        space.set(0x40, isSetUp ? UInt32(PowerManagement.port) | 1 : 1)
        space.allowWrites(0x40, UInt32(0xff80))
        space.set(0x44, isSetUp ? UInt8(0x80) : 0)
        space.allowWrites(0x44, UInt8(0x87))
        for offset in Self.routes {
            space.set(offset, UInt8(0x80))
            space.allowWrites(offset, UInt8(0x8f))
        }
        // RCBA (13.1.35).
        space.allowWrites(0xf0, UInt32(0xffff_c001))
        super.init(space: space, bars: [])
    }

    public override func configurationWritten(_ offset: Int, width: Int) {
        guard let first = Self.routes.first, let last = Self.routes.last, offset <= last, offset + width > first
        else { return }
        route()
    }

    public override func reset() { route() }

    /// All of it is in the configuration space.
    public override var stateVersion: UInt32? { 1 }

    public override func configurationRestored() { route() }

    private func route() {
        let values = withSpace { space in Self.routes.map { space.get($0, as: UInt8.self) } }
        router.setRoutes(values.map { $0 & 0x80 != 0 ? nil : $0 & 15 })
    }
}

/// The eight PCI interrupt wires: each is tied to its own pin of the IOAPIC, GSI 16 to 23, and besides to the old interrupt that the
/// ISA bridge routes it to.
public final class PCIInterruptRouter: Sendable {
    private struct State {
        var levels: [Bool]
        var routes: [UInt8?]
        /// The old interrupts that are up because of these wires.
        var raised: UInt16 = 0
    }

    private let state = Mutex(State(levels: Array(repeating: false, count: 8), routes: Array(repeating: nil, count: 8)))
    private let direct: [any InterruptLine]
    private let old: [any InterruptLine]

    /// - Parameter interrupts: gives the wires of GSI 0 to 23.
    public init(_ interrupts: any InterruptController) {
        direct = (16..<24).map { interrupts.line($0) }
        old = (0..<16).map { interrupts.line($0) }
    }

    /// PIRQ A to H.
    public var wires: [any InterruptLine] { (0..<8).map { Wire(self, $0) } }

    /// - Parameter routes: for each wire the old interrupt, 0...15, or none.
    public func setRoutes(_ routes: [UInt8?]) {
        state.withLock { state in
            state.routes = routes
            update(&state)
        }
    }

    private func set(_ wire: Int, _ level: Bool) {
        state.withLock { state in
            guard state.levels[wire] != level else { return }
            state.levels[wire] = level
            direct[wire].set(level)
            update(&state)
        }
    }

    private func update(_ state: inout State) {
        var raised: UInt16 = 0
        for (level, route) in zip(state.levels, state.routes) where level {
            // Interrupts that belong to the board cannot be a PCI wire's: timer, keyboard, cascade, clock, coprocessor.
            if let route, ![0, 1, 2, 8, 13].contains(route) { raised |= 1 << UInt16(route & 15) }
        }
        let changed = raised ^ state.raised
        guard changed != 0 else { return }
        for number in 0..<16 where changed >> UInt16(number) & 1 == 1 {
            old[number].set(raised >> UInt16(number) & 1 == 1)
        }
        state.raised = raised
    }

    private final class Wire: InterruptLine {
        private let router: PCIInterruptRouter
        private let number: Int
        init(_ router: PCIInterruptRouter, _ number: Int) {
            self.router = router
            self.number = number
        }
        func set(_ level: Bool) { router.set(number, level) }
    }
}
