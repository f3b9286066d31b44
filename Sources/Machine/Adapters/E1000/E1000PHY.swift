/// The physical layer of a card, behind the MDI register: always at a gigabit in full duplex, if the cable is in.
struct E1000PHY: Sendable {
    /// Registers (IEEE 802.3, section 22.2.4; from 16 on, Marvell's).
    private enum Register {
        static let control = 0
        static let status = 1
        static let identifier1 = 2
        static let identifier2 = 3
        static let advertisement = 4
        static let partner = 5
        static let expansion = 6
        static let gigabitControl = 9
        static let gigabitStatus = 10
        static let extendedStatus = 15
        static let specificStatus = 17
        static let page = 22
    }

    private enum MDI {
        static let write: UInt32 = 1 << 26
        static let read: UInt32 = 2 << 26
        static let operation: UInt32 = 3 << 26
        static let ready: UInt32 = 1 << 28
        static let interrupt: UInt32 = 1 << 29
        static let error: UInt32 = 1 << 30
    }

    var isLinkUp: Bool
    private let model: E1000Model
    private var registers = [UInt16](repeating: 0, count: 32)
    private(set) var mdi: UInt32 = 0

    init(_ model: E1000Model, isLinkUp: Bool) {
        self.model = model
        self.isLinkUp = isLinkUp
        reset()
    }

    mutating func reset() {
        registers = [UInt16](repeating: 0, count: 32)
        registers[Register.control] = 0x1140  // autonegotiation, full duplex, gigabit
        registers[Register.identifier1] = model.phyIdentifier.0
        registers[Register.identifier2] = model.phyIdentifier.1
        registers[Register.advertisement] = 0x0de1
        registers[Register.gigabitControl] = 0x0e00
        registers[Register.extendedStatus] = 0x3000
        registers[16] = 0x0360
        registers[20] = 0x0d60
    }

    private func value(_ register: Int) -> UInt16 {
        // Other pages hold what only the hardware's makers need.
        if model == .e1000e, register != Register.page, registers[Register.page] != 0 { return 0 }
        switch register {
        // What it can do; link up and negotiation done are in bits 2 and 5.
        case Register.status: return isLinkUp ? 0x796d : 0x7949
        case Register.partner: return isLinkUp ? 0x45e1 : 0
        case Register.expansion: return isLinkUp ? 1 : 0
        case Register.gigabitStatus: return isLinkUp ? 0x3c00 : 0
        // Gigabit, full duplex, resolved, link.
        case Register.specificStatus: return isLinkUp ? 0xac08 : 0x8000
        default: return registers[register]
        }
    }

    /// The driver wrote the MDI register.
    ///
    /// - Returns: whether a link was negotiated anew, and whether the driver wants an interrupt for the access.
    mutating func writeMDI(_ value: UInt32) -> (negotiated: Bool, interrupts: Bool) {
        let register = Int(value >> 16 & 0x1f)
        var negotiated = false
        var result = value & ~(MDI.ready | MDI.error) | MDI.ready
        if value >> 21 & 0x1f != 1 {
            result |= MDI.error
        } else if value & MDI.operation == MDI.read {
            result = result & ~0xffff | UInt32(self.value(register))
        } else if value & MDI.operation == MDI.write {
            negotiated = write(register, UInt16(truncatingIfNeeded: value))
        }
        mdi = result
        return (negotiated, value & MDI.interrupt != 0)
    }

    private mutating func write(_ register: Int, _ value: UInt16) -> Bool {
        if model == .e1000e, register != Register.page, registers[Register.page] != 0 { return false }
        switch register {
        case Register.control:
            if value & 0x8000 != 0 {
                reset()
                return true
            }
            registers[register] = value & ~0x0200
            return value & 0x0200 != 0
        case Register.status, Register.identifier1, Register.identifier2, Register.partner, Register.expansion,
            Register.gigabitStatus, Register.extendedStatus, Register.specificStatus:
            return false
        default:
            registers[register] = value
            return false
        }
    }
}
