import Testing

@testable import KVM

@Suite("Interrupt routes")
struct InterruptRoutesTests {
    let message = InterruptRoute.msi(MSIMessage(address: 0xFEE0_1000, data: 0x4041))

    @Test("the timer sits at pin 2 of the IOAPIC, and the cascade goes nowhere")
    func defaults() {
        let routes = InterruptRoutes.fullController(limit: 4096)
        #expect(routes[0] == [.pin(.picMaster, 0), .pin(.ioapic, 2)])
        #expect(routes[2] == [.pin(.picMaster, 2)])
        #expect(routes[9] == [.pin(.picSlave, 1), .pin(.ioapic, 9)])
        #expect(routes[23] == [.pin(.ioapic, 23)])
        #expect(routes.entryCount == 39)
    }

    @Test("numbers for messages begin behind the pins and are given out again")
    func allocation() throws {
        var routes = InterruptRoutes.fullController(limit: 64)
        #expect(try routes.allocate() == 24)
        #expect(try routes.allocate() == 25)
        try routes.set(24, message)
        routes.free(24)
        #expect(routes[24].isEmpty)
        #expect(try routes.allocate() == 24)
        routes.free(7)
        #expect(!routes[7].isEmpty, "a pin is never given out and cannot be taken back")
    }

    @Test("the last number is the kernel's limit")
    func exhaustion() throws {
        var routes = InterruptRoutes(limit: 26)
        _ = try routes.allocate()
        _ = try routes.allocate()
        #expect(throws: KVMError.noFreeInterrupt(limit: 26)) { try routes.allocate() }
    }

    @Test("a number that was not given out, and a pin that is not there, are refused")
    func refusals() {
        var routes = InterruptRoutes.fullController(limit: 4096)
        #expect(throws: KVMError.badInterrupt(24)) { try routes.set(24, message) }
        #expect(throws: KVMError.badInterrupt(24)) { try routes.set(5, .pin(.ioapic, 24)) }
        #expect(throws: KVMError.badInterrupt(8)) { try routes.set(5, .pin(.picMaster, 8)) }
    }

    @Test("the kernel's table holds a count and rows of 48 bytes")
    func encoding() throws {
        var routes = InterruptRoutes(limit: 4096)
        try routes.set(3, .pin(.ioapic, 5))
        try routes.set(routes.allocate(), message)
        let table = routes.encoded()
        #expect(table.count == 8 + 2 * 48)
        #expect(table.load(at: 0) == UInt64(2))
        // GSI, type 1, flags, padding, chip, pin.
        #expect((0..<6).map { table.load(at: 8 + $0 * 4, as: UInt32.self) } == [3, 1, 0, 0, 2, 5])
        // GSI, type 2, flags, padding, address low and high, data.
        #expect((0..<7).map { table.load(at: 56 + $0 * 4, as: UInt32.self) } == [24, 2, 0, 0, 0xFEE0_1000, 0, 0x4041])
    }
}
