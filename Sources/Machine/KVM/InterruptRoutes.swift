import CLinux

/// A message-signalled interrupt: what a device would write, and where.
public struct MSIMessage: Hashable, Sendable {
    public var address: UInt64
    public var data: UInt32

    public init(address: UInt64, data: UInt32) {
        self.address = address
        self.data = data
    }
}

/// Where a global system interrupt (GSI) ends.
public enum InterruptRoute: Hashable, Sendable {
    /// A pin of an interrupt controller in the kernel.
    case pin(InterruptChip, UInt32)
    /// A message to the LAPICs.
    case msi(MSIMessage)
}

/// The interrupt controllers in the kernel that have pins. The values are the kernel's `KVM_IRQCHIP_…`.
public enum InterruptChip: UInt32, Hashable, Sendable, CaseIterable {
    case picMaster = 0
    case picSlave = 1
    case ioapic = 2

    var pins: UInt32 { self == .ioapic ? 24 : 8 }
}

/// The shadow of KVM's interrupt routing table, which can only be replaced as a whole.
public struct InterruptRoutes: Hashable, Sendable {
    /// Interrupts below this number belong to the pins of the controllers; those from it on are given out for messages.
    public static let pins: UInt32 = 24

    private var table: [UInt32: [InterruptRoute]] = [:]
    /// Numbers from `pins` on that are given out.
    private var allocated: Set<UInt32> = []
    /// How many routes KVM takes, which is also one more than the largest GSI.
    let limit: UInt32

    /// An empty table.
    init(limit: UInt32) { self.limit = limit }

    /// What a PC has: GSI 0 to 15 go to the PICs and the IOAPIC, and 16 to 23 to the IOAPIC alone. GSI 0 is the timer,
    /// which sits at pin 2 of the IOAPIC, as the ACPI tables say; the PIC's pin 2 is the cascade. The kernel itself
    /// begins with the timer at pin 0.
    static func fullController(limit: UInt32) -> InterruptRoutes {
        var routes = InterruptRoutes(limit: limit)
        for gsi in 0..<pins {
            var ends: [InterruptRoute] = []
            if gsi < 8 { ends.append(.pin(.picMaster, gsi)) } else if gsi < 16 { ends.append(.pin(.picSlave, gsi - 8)) }
            if gsi == 0 { ends.append(.pin(.ioapic, 2)) } else if gsi != 2 { ends.append(.pin(.ioapic, gsi)) }
            routes.table[gsi] = ends
        }
        return routes
    }

    /// Gives out an interrupt for messages. It goes nowhere until `set`.
    public mutating func allocate() throws(KVMError) -> UInt32 {
        var gsi = Self.pins
        while allocated.contains(gsi) { gsi += 1 }
        guard gsi < limit, entryCount < Int(limit) else { throw .noFreeInterrupt(limit: limit) }
        allocated.insert(gsi)
        return gsi
    }

    /// Gives out a certain interrupt, as one that was saved.
    mutating func claim(_ gsi: UInt32) throws(KVMError) {
        guard gsi >= Self.pins, gsi < limit, allocated.insert(gsi).inserted else { throw .badInterrupt(gsi) }
    }

    /// Takes an interrupt back, and its route away.
    public mutating func free(_ gsi: UInt32) {
        guard allocated.remove(gsi) != nil else { return }
        table[gsi] = nil
    }

    /// Makes an interrupt go to one place only.
    public mutating func set(_ gsi: UInt32, _ route: InterruptRoute) throws(KVMError) { try set(gsi, [route]) }

    /// Makes an interrupt go to several pins, or nowhere.
    public mutating func set(_ gsi: UInt32, _ ends: [InterruptRoute]) throws(KVMError) {
        guard gsi < Self.pins || allocated.contains(gsi), gsi < limit else { throw .badInterrupt(gsi) }
        for case .pin(let chip, let pin) in ends where pin >= chip.pins { throw .badInterrupt(pin) }
        table[gsi] = ends.isEmpty ? nil : ends
    }

    /// Where an interrupt goes.
    public subscript(gsi: UInt32) -> [InterruptRoute] { table[gsi] ?? [] }

    /// Interrupts given out for messages.
    public var allocatedInterrupts: [UInt32] { allocated.sorted() }

    /// All interrupts that go somewhere, by number.
    public var all: [(gsi: UInt32, ends: [InterruptRoute])] {
        table.sorted { $0.key < $1.key }.map { (gsi: $0.key, ends: $0.value) }
    }

    /// Whether KVM's table is the same.
    func leadsLike(_ other: InterruptRoutes) -> Bool { table == other.table }

    /// Rows in KVM's table.
    var entryCount: Int { table.reduce(0) { $0 + $1.value.count } }

    /// KVM's table: `struct kvm_irq_routing`, a count and flags, followed by its rows `struct kvm_irq_routing_entry`:
    /// GSI, type, flags, padding, and from byte 16 on the end (chip and pin, or address low, address high and data).
    func encoded() -> KernelBuffer {
        let stride = MemoryLayout<kvm_irq_routing_entry>.stride
        let buffer = KernelBuffer(count: 8 + entryCount * stride)
        buffer.store(UInt32(entryCount), at: 0)
        var row = 8
        for (gsi, ends) in all {
            for end in ends {
                buffer.store(gsi, at: row)
                switch end {
                case .pin(let chip, let pin):
                    buffer.store(UInt32(KVM_IRQ_ROUTING_IRQCHIP), at: row + 4)
                    buffer.store(chip.rawValue, at: row + 16)
                    buffer.store(pin, at: row + 20)
                case .msi(let message):
                    buffer.store(UInt32(KVM_IRQ_ROUTING_MSI), at: row + 4)
                    buffer.store(message.address, at: row + 16)
                    buffer.store(message.data, at: row + 24)
                }
                row += stride
            }
        }
        return buffer
    }
}
