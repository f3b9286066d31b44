import Synchronization
import Testing

@testable import Chipset

@Suite("PCI hot-plug registers")
struct PCIHotplugRegistersTests {
    /// Records what the registers ask of the machine.
    final class Machine: Sendable {
        let events = Mutex(0)
        let ejected = Mutex<[Int]>([])

        func registers(slots: [UInt8] = [2, 3, 30]) -> PCIHotplugRegisters {
            PCIHotplugRegisters(
                slots: slots, raiseEvent: { self.events.withLock { $0 += 1 } },
                eject: { slot in self.ejected.withLock { $0.append(slot) } })
        }

        var eventCount: Int { events.withLock { $0 } }
        var ejectedSlots: [Int] { ejected.withLock { $0 } }
    }

    let machine = Machine()

    @Test("an announced slot is read once and raises the event")
    func announce() {
        let registers = machine.registers()
        registers.announce(slot: 3)
        registers.announce(slot: 30)
        #expect(machine.eventCount == 2)
        #expect(registers.read(region: 0, offset: 0, width: 4) == 1 << 3 | 1 << 30)
        #expect(registers.read(region: 0, offset: 0, width: 4) == 0)
        #expect(registers.read(region: 0, offset: 4, width: 4) == 0)
        #expect(registers.read(region: 0, offset: 0xc, width: 4) == 1 << 2 | 1 << 3 | 1 << 30)
    }

    @Test("a request to eject stays until the guest ejects the slot")
    func eject() {
        let registers = machine.registers()
        registers.requestEject(slot: 2)
        #expect(machine.eventCount == 1)
        #expect(registers.read(region: 0, offset: 4, width: 4) == 4)
        #expect(registers.read(region: 0, offset: 4, width: 4) == 4)
        #expect(registers.isEjectPending(slot: 2))
        registers.write(region: 0, offset: 8, width: 4, value: 4)
        #expect(machine.ejectedSlots == [2])
        #expect(!registers.isEjectPending(slot: 2))
        #expect(registers.read(region: 0, offset: 4, width: 4) == 0)
        #expect(registers.read(region: 0, offset: 8, width: 4) == 0)
    }

    @Test("slots that cannot be plugged are neither announced nor ejected")
    func fixedSlots() {
        let registers = machine.registers()
        for slot in [-1, 0, 31, 32, Int.max] {
            registers.announce(slot: slot)
            registers.requestEject(slot: slot)
        }
        #expect(machine.eventCount == 0)
        registers.write(region: 0, offset: 8, width: 4, value: 0x8000_0001)
        #expect(machine.ejectedSlots.isEmpty)
    }

    @Test("other buses have no slots")
    func busSelect() {
        let registers = machine.registers()
        registers.requestEject(slot: 2)
        registers.announce(slot: 3)
        registers.write(region: 0, offset: 0x10, width: 4, value: 7)
        #expect(registers.read(region: 0, offset: 0x10, width: 4) == 7)
        for offset: UInt64 in [0, 4, 8, 0xc] { #expect(registers.read(region: 0, offset: offset, width: 4) == 0) }
        registers.write(region: 0, offset: 8, width: 4, value: 0xffff_ffff)
        #expect(machine.ejectedSlots.isEmpty)
        registers.write(region: 0, offset: 0x10, width: 4, value: 0)
        #expect(registers.read(region: 0, offset: 0, width: 4) == 8)
        #expect(registers.read(region: 0, offset: 4, width: 4) == 4)
    }

    @Test("a request taken back is no longer read")
    func cancel() {
        let registers = machine.registers()
        registers.requestEject(slot: 2)
        registers.cancelEject(slot: 2)
        #expect(registers.read(region: 0, offset: 4, width: 4) == 0)
    }

    @Test("a reset voids announcements and completes pending ejections")
    func reset() {
        let registers = machine.registers()
        registers.announce(slot: 3)
        registers.requestEject(slot: 2)
        registers.write(region: 0, offset: 0x10, width: 4, value: 1)
        registers.reset()
        #expect(machine.ejectedSlots == [2])
        for offset: UInt64 in [0, 4, 0x10] { #expect(registers.read(region: 0, offset: offset, width: 4) == 0) }
    }

    @Test("accesses of any width and place are answered without harm")
    func oddAccesses() {
        let registers = machine.registers()
        registers.announce(slot: 3)
        registers.announce(slot: 30)
        // Reading one byte clears only that byte's slots.
        #expect(registers.read(region: 0, offset: 3, width: 1) == 0x40)
        #expect(registers.read(region: 0, offset: 0, width: 4) == 8)
        #expect(registers.read(region: 0, offset: 2, width: 4) == 0xffff_ffff)
        #expect(registers.read(region: 0, offset: 0, width: 8) == .max)
        #expect(registers.read(region: 0, offset: 0x14, width: 1) == 0xff)
        for width in [1, 2, 8] { registers.write(region: 0, offset: 8, width: width, value: .max) }
        for offset: UInt64 in [0, 4, 0xc, 0x14, .max] {
            registers.write(region: 0, offset: offset, width: 4, value: .max)
        }
        #expect(machine.ejectedSlots.isEmpty)
    }
}
