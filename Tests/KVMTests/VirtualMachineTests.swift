import KVM
import Linux
import Testing

@Suite("A virtual machine", .enabled(if: KVMSystem.isAvailable, skipReason))
struct VirtualMachineTests {
    @Test("a doorbell signals its event in the kernel, and exits again when it is detached")
    func memoryDoorbell() throws {
        let code: [UInt8] = [
            0xB8, 0x00, 0x10,  // mov ax, 0x1000
            0x8E, 0xD8,  // mov ds, ax
            0xC7, 0x06, 0x10, 0x00, 0x05, 0x00,  // again: mov word [0x10], 5
            0xE6, 0x80,  // out 0x80, al
            0xEB, 0xF6,  // jmp again
        ]
        let payload = try Payload(code)
        let event = try EventFD()
        let doorbell = Doorbell(0x1_0010)
        try payload.machine.attachDoorbell(doorbell, event)
        #expect(payload.vcpu.run() == .port)
        #expect(event.drain() == 1)
        try payload.machine.detachDoorbell(doorbell, event)
        #expect(payload.vcpu.run() == .memory)
        #expect(event.drain() == 0)
        #expect(throws: KVMError.self) { try payload.machine.detachDoorbell(doorbell, event) }
    }

    @Test("a doorbell with a value takes only writes of that value")
    func portDoorbell() throws {
        let payload = try Payload([
            0xB0, 0x01,  // mov al, 1
            0xE6, 0x20,  // out 0x20, al
            0xB0, 0x02,  // mov al, 2
            0xE6, 0x20,  // out 0x20, al
            0xF4,  // hlt
        ])
        let event = try EventFD()
        try payload.machine.attachDoorbell(Doorbell(0x20, width: .byte, space: .port, value: 2), event)
        #expect(payload.vcpu.run() == .port)
        #expect(payload.vcpu.value(of: payload.vcpu.portAccess) == 1)
        #expect(event.drain() == 0)
        #expect(payload.vcpu.run() == .halt)
        #expect(event.drain() == 1)
    }

    /// Sets up the master PIC with vectors from 0x20 on and only IRQ 4 unmasked, writes 1 to port 0x80, and halts with
    /// interrupts on. The handler of vector 0x24 writes 2 to port 0x80.
    static let interruptCode: [UInt8] = [
        0xC7, 0x06, 0x90, 0x00, 0x00, 0x11,  // mov word [0x90], 0x1100: vector 0x24, offset
        0xC7, 0x06, 0x92, 0x00, 0x00, 0x00,  // mov word [0x92], 0: segment
        0xB0, 0x11, 0xE6, 0x20,  // ICW1: cascade, ICW4 follows
        0xB0, 0x20, 0xE6, 0x21,  // ICW2: vectors from 0x20
        0xB0, 0x04, 0xE6, 0x21,  // ICW3
        0xB0, 0x01, 0xE6, 0x21,  // ICW4: 8086
        0xB0, 0xEF, 0xE6, 0x21,  // mask all but IRQ 4
        0xB0, 0x01, 0xE6, 0x80,  // out 0x80, 1
        0xFB,  // sti
        0xF4,  // hlt
        0xEB, 0xFD,  // jmp to hlt
    ]
    static let interruptHandler: [UInt8] = [0xB0, 0x02, 0xE6, 0x80, 0xF4]

    private func interruptPayload() throws -> Payload {
        let payload = try Payload(Self.interruptCode, interruptController: .full)
        (payload.memory.base + 0x1100).copyMemory(
            from: Self.interruptHandler, byteCount: Self.interruptHandler.count)
        try payload.vcpu.acceptLegacyInterrupts()
        #expect(payload.vcpu.run() == .port)
        return payload
    }

    @Test("signalling an attached event interrupts the guest")
    func irqfd() throws {
        let payload = try interruptPayload()
        let event = try EventFD()
        try payload.machine.attachInterrupt(event, gsi: 4)
        event.signal()
        #expect(payload.vcpu.run() == .port)
        #expect(payload.vcpu.value(of: payload.vcpu.portAccess) == 2)
        try payload.machine.detachInterrupt(event, gsi: 4)
    }

    @Test("raising a line interrupts the guest")
    func line() throws {
        let payload = try interruptPayload()
        try payload.machine.setLine(4, true)
        #expect(payload.vcpu.run() == .port)
        #expect(payload.vcpu.value(of: payload.vcpu.portAccess) == 2)
    }

    @Test("the timer reaches pin 2 of the IOAPIC from the start")
    func timerRoute() throws {
        let payload = try Payload([0xF4], interruptController: .full)
        try payload.machine.setLine(0, true)
        let requests = try payload.machine.saveState().controllers?.ioapic.requests
        #expect(requests == 1 << 2)
    }

    @Test("an interrupt number can be given out, routed, attached and taken back")
    func routes() throws {
        let payload = try Payload([0xF4], interruptController: .full)
        let machine = payload.machine
        let gsi = try machine.allocateGSI()
        #expect(gsi == 24)
        let event = try EventFD()
        try machine.setRoute(gsi, .msi(MSIMessage(address: 0xFEE0_0000, data: 0x40)))
        try machine.attachInterrupt(event, gsi: gsi)
        try machine.detachInterrupt(event, gsi: gsi)
        try machine.removeRoute(gsi)
        try machine.freeGSI(gsi)
        #expect(machine.currentRoutes[gsi].isEmpty)
        #expect(throws: KVMError.badInterrupt(gsi)) {
            try machine.setRoute(gsi, .msi(MSIMessage(address: 0xFEE0_0000, data: 0x40)))
        }
    }

    @Test("the dirty log names the pages the guest wrote, once")
    func dirtyLog() throws {
        let payload = try Payload(
            [
                0xA2, 0x00, 0x30,  // again: mov [0x3000], al
                0xA2, 0x10, 0x70,  // mov [0x7010], al
                0xE6, 0x80,  // out 0x80, al
                0xEB, 0xF6,  // jmp again
            ], flags: .logDirty)
        let (machine, slot) = (payload.machine, payload.slot)
        func dirty() throws -> UInt64 {
            var bitmap: [UInt64] = [0]
            var span = bitmap.mutableSpan
            try machine.readDirtyLog(slot, into: &span)
            try machine.clearDirtyLog(slot, firstPage: 0, count: slot.pages, bitmap.span)
            return bitmap[0]
        }
        #expect(payload.vcpu.run() == .port)
        #expect(try dirty() & (1 << 3 | 1 << 7) == (1 << 3 | 1 << 7))
        #expect(try dirty() == 0)
        #expect(payload.vcpu.run() == .port)
        #expect(try dirty() == (1 << 3 | 1 << 7))
    }

    @Test("memory that is read-only exits on writes, and removed memory exits on every access")
    func memoryFlags() throws {
        let payload = try Payload([
            0xB8, 0x00, 0x20,  // mov ax, 0x2000
            0x8E, 0xD8,  // mov ds, ax
            0xA0, 0x05, 0x00,  // mov al, [5]
            0xE6, 0x80,  // out 0x80, al
            0xA2, 0x05, 0x00,  // mov [5], al
            0xA0, 0x05, 0x00,  // mov al, [5]
            0xF4,  // hlt
        ])
        let rom = try Mapping(anonymous: 0x1000, "rom")
        rom.base.storeBytes(of: 0x77, toByteOffset: 5, as: UInt8.self)
        let slot = try payload.machine.addMemory(at: 0x2_0000, rom, flags: .readOnly)
        let vcpu = payload.vcpu
        #expect(vcpu.run() == .port)
        #expect(vcpu.value(of: vcpu.portAccess) == 0x77)
        #expect(vcpu.run() == .memory)
        #expect(vcpu.memoryAccess.isWrite && vcpu.memoryAccess.address == 0x2_0005)
        try payload.machine.removeMemory(slot)
        #expect(vcpu.run() == .memory)
        #expect(!vcpu.memoryAccess.isWrite)
        #expect(rom.base.load(fromByteOffset: 5, as: UInt8.self) == 0x77)
        #expect(throws: KVMError.unknownSlot(slot.id)) { try payload.machine.removeMemory(slot) }
    }
}
