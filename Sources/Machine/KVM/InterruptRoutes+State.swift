public import SavedState

extension InterruptRoutes: FieldCoded {
    /// More than any kernel takes.
    private static let countMax = 1 << 16

    public init() { self.init(limit: 0) }

    public mutating func code(_ coder: inout FieldCoder) {
        var limit = limit
        coder.field(&limit)
        coder.check(limit <= Self.countMax, "\(limit) interrupts")
        var numbers = allocatedInterrupts
        coder.list(&numbers, limit: Self.countMax)
        var rows = all.flatMap { entry in entry.ends.map { Row(gsi: entry.gsi, end: $0) } }
        coder.list(&rows, limit: Self.countMax)

        var table: [UInt32: [InterruptRoute]] = [:]
        for row in rows { table[row.gsi, default: []].append(row.end) }
        do {
            self = try InterruptRoutes(limit: limit, allocated: numbers, table: table)
        } catch {
            coder.check(false, "\(error)")
        }
    }

    /// A table as it was saved, checked like one that is built step by step.
    private init(limit: UInt32, allocated: [UInt32], table: [UInt32: [InterruptRoute]]) throws(KVMError) {
        self.init(limit: limit)
        for gsi in allocated { try claim(gsi) }
        for (gsi, ends) in table { try set(gsi, ends) }
    }

    /// One interrupt and one place where it ends: kind 1 a pin (chip, number), kind 2 a message (address, data).
    private struct Row: FieldCoded {
        var gsi: UInt32 = 0
        var end = InterruptRoute.msi(MSIMessage(address: 0, data: 0))

        init() {}
        init(gsi: UInt32, end: InterruptRoute) { (self.gsi, self.end) = (gsi, end) }

        mutating func code(_ coder: inout FieldCoder) {
            var (kind, first, second): (UInt8, UInt64, UInt32) =
                switch end {
                case .pin(let chip, let pin): (1, UInt64(chip.rawValue), pin)
                case .msi(let message): (2, message.address, message.data)
                }
            coder.field(&gsi)
            coder.field(&kind)
            coder.field(&first)
            coder.field(&second)
            switch kind {
            case 1:
                if let raw = UInt32(exactly: first), let chip = InterruptChip(rawValue: raw) {
                    end = .pin(chip, second)
                } else {
                    coder.check(false, "interrupt controller \(first) is unknown")
                }
            case 2: end = .msi(MSIMessage(address: first, data: second))
            default: coder.check(false, "a route of kind \(kind) is unknown")
            }
        }
    }
}
