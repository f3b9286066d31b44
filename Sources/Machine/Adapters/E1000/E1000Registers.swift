import NetEngine

/// A card's registers but for those of interrupts and the rings' ends: what a snapshot would keep. Plain state.
struct E1000Registers: Sendable {
    /// What else a write does.
    struct Effects: OptionSet {
        let rawValue: UInt8
        /// The queues' configuration changed.
        static let configuration = Effects(rawValue: 1)
        static let filter = Effects(rawValue: 2)
        static let reset = Effects(rawValue: 4)
        static let linkChanged = Effects(rawValue: 8)
        static let mdiDone = Effects(rawValue: 16)
        static let interruptControl = Effects(rawValue: 32)
    }

    private enum Status {
        static let fullDuplex: UInt32 = 1 << 0
        static let linkUp: UInt32 = 1 << 1
        static let gigabit: UInt32 = 2 << 6
        static let gigabitDetected: UInt32 = 2 << 8
        /// 82574: the driver may use the bus.
        static let masterEnabled: UInt32 = 1 << 19
    }

    private(set) var words = [UInt32](repeating: 0, count: E1000Register.end / 4)
    private(set) var nvm: E1000NVM
    private(set) var phy: E1000PHY
    private var reader = E1000StatisticsReader()
    private let model: E1000Model
    private let address: MACAddress
    /// What the port BAR's address register holds.
    var portAddress: UInt32 = 0

    init(_ settings: AdapterSettings, _ model: E1000Model) {
        self.model = model
        address = settings.address
        nvm = E1000NVM(settings.address, model)
        phy = E1000PHY(model, isLinkUp: settings.isLinkUp)
        setInitialValues()
    }

    subscript(_ offset: Int) -> UInt32 {
        get { offset >= 0 && offset < E1000Register.end ? words[offset / 4] : 0 }
        set { if offset >= 0, offset < E1000Register.end { words[offset / 4] = newValue } }
    }

    private mutating func setInitialValues() {
        self[E1000Register.control] = 1 | E1000Control.setLinkUp
        self[E1000Register.vlanType] = 0x8100
        self[E1000Register.packetBuffer] = model == .e1000 ? 0x0010_0030 : 0x0014_0014
        // The address is loaded from the non-volatile memory.
        let low = (0..<4).reduce(0 as UInt32) { $0 | UInt32(address[$1]) << UInt32(8 * $1) }
        self[E1000Register.receiveAddress] = low
        self[E1000Register.receiveAddress + 4] = UInt32(address[4]) | UInt32(address[5]) << 8 | 1 << 31
        self[E1000Register.receiveChecksum] = model == .e1000 ? 0 : 0x300
    }

    /// As after a reset by the driver; the physical layer stays.
    mutating func reset(_ counters: E1000Counters) {
        words = [UInt32](repeating: 0, count: E1000Register.end / 4)
        reader.clear(counters)
        setInitialValues()
    }

    /// As after power-on.
    mutating func powerOn(_ counters: E1000Counters) {
        reset(counters)
        nvm = E1000NVM(address, model)
        phy = E1000PHY(model, isLinkUp: phy.isLinkUp)
        portAddress = 0
    }

    var isLinkUp: Bool {
        get { phy.isLinkUp }
        set { phy.isLinkUp = newValue }
    }

    // MARK: Access

    mutating func read(_ offset: Int, _ counters: E1000Counters) -> UInt32 {
        switch offset {
        case E1000Register.controlDuplicate: return self[E1000Register.control]
        case E1000Register.status: return status
        case E1000Register.nvmControl: return nvm.controlRegister
        case E1000Register.nvmRead: return nvm.readRegister
        case E1000Register.mdi: return phy.mdi
        case E1000Register.statistics..<E1000Register.statisticsEnd:
            return reader.take((offset - E1000Register.statistics) / 4, counters)
        // Configuration is done as soon as the reset is.
        case E1000Register.manageabilityControl: return self[offset] | 1 << 18
        case E1000Register.softwareSemaphore:
            // Reading takes the semaphore (82574, section 10.2.9.1).
            let value = self[offset]
            self[offset] = value | 1
            return value
        default: return self[offset]
        }
    }

    private var status: UInt32 {
        var value = Status.fullDuplex | Status.gigabit | Status.gigabitDetected
        if phy.isLinkUp { value |= Status.linkUp }
        if model == .e1000e, self[E1000Register.control] & E1000Control.masterDisable == 0 {
            value |= Status.masterEnabled
        }
        return value
    }

    mutating func write(_ offset: Int, _ value: UInt32) -> Effects {
        switch offset {
        case E1000Register.control, E1000Register.controlDuplicate:
            self[E1000Register.control] = value & ~(E1000Control.reset | E1000Control.phyReset)
            if value & E1000Control.reset != 0 { return .reset }
            if value & E1000Control.phyReset != 0 {
                phy.reset()
                return [.configuration, .linkChanged]
            }
            return .configuration
        case E1000Register.status, E1000Register.statistics..<E1000Register.statisticsEnd: return []
        case E1000Register.nvmControl: nvm.writeControlRegister(value)
        case E1000Register.nvmRead: nvm.writeReadRegister(value)
        case E1000Register.controlExtended:
            // The bit that reads the non-volatile memory again clears itself.
            self[offset] = value & ~(1 << 13)
            return .interruptControl
        case E1000Register.mdi:
            let (negotiated, interrupts) = phy.writeMDI(value)
            var effects: Effects = []
            if negotiated { effects.insert(.linkChanged) }
            if interrupts { effects.insert(.mdiDone) }
            return effects
        case E1000Register.receiveControl:
            self[offset] = value
            return [.configuration, .filter]
        case E1000Register.vlanType:
            self[offset] = value
            return [.filter]
        case E1000Register.receiveBaseLow, E1000Register.transmitBaseLow,
            E1000Register.transmitBaseLow + E1000Register.queueStride:
            self[offset] = value & ~0xf
            return .configuration
        case E1000Register.receiveLength, E1000Register.transmitLength,
            E1000Register.transmitLength + E1000Register.queueStride:
            self[offset] = value & 0xf_ff80
            return .configuration
        case E1000Register.receiveBaseHigh, E1000Register.transmitBaseHigh, E1000Register.transmitControl,
            E1000Register.transmitBaseHigh + E1000Register.queueStride, E1000Register.receiveChecksum,
            E1000Register.receiveFilter, E1000Register.packetSplit:
            self[offset] = value
            return .configuration
        case E1000Register.multicastTable..<(E1000Register.multicastTable + 0x200),
            E1000Register.receiveAddress..<(E1000Register.receiveAddress + 0x80),
            E1000Register.vlanTable..<(E1000Register.vlanTable + 0x200):
            self[offset] = value
            return .filter
        default: self[offset] = value
        }
        return []
    }
}
