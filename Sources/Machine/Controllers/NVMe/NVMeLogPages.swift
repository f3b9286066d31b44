import DeviceModel

/// The log pages (NVM Express 1.4, section 5.14.1).
enum NVMeLogPages {
    enum Identifier {
        static let errors: UInt8 = 0x01
        static let health: UInt8 = 0x02
        static let firmware: UInt8 = 0x03
        static let changedNamespaces: UInt8 = 0x04
    }

    /// No command failed in a way worth an entry: one empty entry.
    static func errors() -> [UInt8] { [UInt8](repeating: 0, count: 64) }

    /// SMART and health information.
    static func health(_ counters: [BlockCounters]) -> [UInt8] {
        var page = StructureBytes(count: 512)
        page.set(1, UInt16(300))  // kelvin
        page.set(3, UInt8(100))  // per cent of spare left
        page.set(4, UInt8(10))
        func sum(_ operation: BlockOperation) -> (requests: UInt64, units: UInt64) {
            var requests: UInt64 = 0
            var bytes: UInt64 = 0
            for counter in counters {
                let sum = counter.sum(operation)
                requests &+= sum.requests
                bytes &+= sum.bytes
            }
            // Units of a thousand blocks of 512 bytes, rounded up.
            return (requests, bytes / 512_000 + (bytes % 512_000 == 0 ? 0 : 1))
        }
        let reads = sum(.read)
        let writes = sum(.write)
        page.set(32, reads.units)
        page.set(48, writes.units)
        page.set(64, reads.requests)
        page.set(80, writes.requests)
        page.set(160, counters.reduce(UInt64(0)) { $0 &+ $1.errors })
        return page.bytes
    }

    /// One slot, in use.
    static func firmware() -> [UInt8] {
        var page = StructureBytes(count: 512)
        page.set(0, UInt8(1))
        page.set(8, text: NVMeIdentify.firmware, width: 8)
        return page.bytes
    }

    static func changedNamespaces(_ numbers: [UInt32]) -> [UInt8] {
        var page = StructureBytes(count: 4096)
        for (index, number) in numbers.sorted().prefix(1024).enumerated() { page.set(4 * index, number) }
        return page.bytes
    }
}
