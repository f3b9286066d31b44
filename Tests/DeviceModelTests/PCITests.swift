import DeviceModel
import Linux
import Synchronization
import Testing

final class ProbeInterrupts: MessageInterrupts {
    let events: [EventFD]
    let messages: Mutex<[InterruptMessage?]>
    init(_ count: Int) throws {
        var events: [EventFD] = []
        for _ in 0..<count { events.append(try EventFD()) }
        self.events = events
        messages = Mutex(Array(repeating: nil, count: count))
    }
    var vectorCount: Int { events.count }
    func event(_ vector: Int) -> EventFD { events[vector] }
    func setMessage(_ vector: Int, _ message: InterruptMessage?) { messages.withLock { $0[vector] = message } }
}

final class ProbeLine: InterruptLine {
    let level = Mutex(false)
    func set(_ level: Bool) { self.level.withLock { $0 = level } }
}

@Suite("PCI")
struct PCITests {
    final class Card: PCIFunction, @unchecked Sendable {
        var moves: [UInt64?] = []
        override func readBar(_ bar: Int, offset: UInt64, width: Int) -> UInt64 { UInt64(bar) << 16 | offset }
        override func barMoved(_ bar: Int, to address: UInt64?) { if bar == 4 { moves.append(address) } }
    }

    struct Machine {
        let ports = AddressSpace.ports()
        let memory = AddressSpace.memory()
        let wires: [ProbeLine]
        let root: PCIRoot
        let portView: BusView
        let memoryView: BusView
        let interrupts: ProbeInterrupts
        let card: Card
        let place: PCIAddress
        let ecam: UInt64 = 0xb000_0000

        init() throws {
            let wires = (0..<8).map { _ in ProbeLine() }
            self.wires = wires
            root = PCIRoot(
                ports: ports, memory: memory,
                windows: PCIWindows(
                    ports: 0xc000...0xcfff, memory32: 0xc000_0000...0xc0ff_ffff, memory64: 0x2_0000_0000...0x2_ffff_ffff
                ),
                interruptLines: wires.map { SharedInterruptLine($0) })
            try ports.map(root, region: PCIRoot.portRegion, at: PCIRoot.port, count: 8)
            try memory.map(root, region: PCIRoot.ecamRegion, at: ecam, count: 256 << 20)
            portView = BusView(ports)
            memoryView = BusView(memory)
            interrupts = try ProbeInterrupts(3)
            var space = PCIConfigurationSpace(vendor: 0x1af4, device: 0x1042, revision: 1, classCode: 0x010000)
            space.set(PCIConfigurationSpace.Offset.interruptPin, UInt8(1))
            card = Card(
                space: space,
                bars: [
                    PCIBar(index: 0, kind: .port, count: 64),
                    PCIBar(index: 4, kind: .memory64(prefetchable: true), count: 0x4000),
                ], interrupts: interrupts)
            place = try root.plug(card)
        }

        func config(_ register: Int, width: Int = 4) -> UInt64 {
            memoryView.read(ecam + UInt64(place.routing) << 12 + UInt64(register), width: width)
        }
        func configure(_ register: Int, _ value: UInt64, width: Int = 4) {
            memoryView.write(ecam + UInt64(place.routing) << 12 + UInt64(register), width: width, value: value)
        }
    }

    @Test("the same registers are seen through 0xCF8 and ECAM; an empty slot reads all ones")
    func mechanisms() throws {
        let machine = try Machine()
        #expect(machine.place == PCIAddress(device: 1))
        machine.portView.write(0xcf8, width: 4, value: 0x8000_0800)
        #expect(machine.portView.read(0xcf8, width: 4) == 0x8000_0800)
        #expect(machine.portView.read(0xcfc, width: 4) == 0x1042_1af4)
        #expect(machine.portView.read(0xcfe, width: 2) == 0x1042)
        #expect(machine.config(0) == 0x1042_1af4)
        machine.portView.write(0xcf8, width: 4, value: 0x0000_0800)
        #expect(machine.portView.read(0xcfc, width: 4) == 0xffff_ffff, "not enabled")
        #expect(machine.memoryView.read(machine.ecam + 0x10_0000, width: 4) == 0xffff_ffff)
        #expect(machine.config(0xffe, width: 4) == 0xffff_ffff, "runs over the end of the space")
    }

    final class ProbeROM: PCIExpansionROM {
        let moves = Mutex<[UInt64?]>([])
        let count: UInt64 = 0x1_0000
        func moved(to address: UInt64?) { moves.withLock { $0.append(address) } }
    }

    @Test("an expansion ROM is sized like a BAR, and shown while both its own and the command's bit are set")
    func expansionROM() throws {
        let machine = try Machine()
        let rom = ProbeROM()
        let card = Card(space: PCIConfigurationSpace(vendor: 1, device: 2, classCode: 0x020000), bars: [])
        card.setExpansionROM(rom)
        let place = try machine.root.plug(card)
        let base = machine.ecam + UInt64(place.routing) << 12
        func write(_ register: UInt64, _ value: UInt64) {
            machine.memoryView.write(base + register, width: 4, value: value)
        }
        write(0x30, 0xffff_fffe)
        #expect(machine.memoryView.read(base + 0x30, width: 4) == 0xffff_0000)
        write(0x30, 0xfeb0_0001)
        #expect(rom.moves.withLock { $0 } == [], "memory decoding is off")
        write(4, 2)
        write(0x30, 0xfeb0_0000)
        write(0x30, 0xfea0_0001)
        machine.root.reset()
        #expect(rom.moves.withLock { $0 } == [0xfeb0_0000, nil, 0xfea0_0000, nil])
        #expect(machine.memoryView.read(base + 0x30, width: 4) == 0)
        machine.root.unplug(place)
    }

    @Test("BARs are sized as PCI says, moved by the guest, and silent while decoding is off")
    func bars() throws {
        let machine = try Machine()
        let command = UInt64(PCIConfigurationSpace.Offset.command)
        let start = machine.config(0x20) & ~0xf | machine.config(0x24) << 32
        #expect(start == 0x2_0000_0000)
        #expect(machine.memoryView.read(start + 8, width: 4) == 4 << 16 | 8)

        machine.configure(Int(command), 0, width: 2)
        #expect(machine.memoryView.read(start + 8, width: 4) == 0xffff_ffff)
        machine.configure(0x20, 0xffff_ffff)
        machine.configure(0x24, 0xffff_ffff)
        #expect(machine.config(0x20) == 0xffff_c00c)
        #expect(machine.config(0x24) == 0xffff_ffff)
        machine.configure(0x10, 0xffff_ffff)
        #expect(machine.config(0x10) == 0xffff_ffc1)
        machine.configure(0x20, 0x1000_4000)
        machine.configure(0x24, 3)
        machine.configure(Int(command), 2, width: 2)
        #expect(machine.memoryView.read(0x3_1000_4010, width: 4) == 4 << 16 | 0x10)
        #expect(machine.card.moves == [0x2_0000_0000, nil, 0x3_1000_4000])

        machine.root.reset()
        #expect(machine.memoryView.read(start, width: 4) == 4 << 16, "reset puts BARs back")
        #expect(machine.root.unplug(machine.place) === machine.card)
        #expect(machine.memoryView.read(start, width: 4) == 0xffff_ffff)
        #expect(machine.config(0) == 0xffff_ffff)
    }

    @Test("a BAR placed over another device leaves that device answering")
    func hostileBar() throws {
        let machine = try Machine()
        machine.configure(0x20, machine.ecam)
        machine.configure(0x24, 0)
        #expect(machine.config(0) == 0x1042_1af4)
        #expect(machine.card.moves.last == .some(nil))
    }

    @Test("MSI-X: a vector has a message only while enabled and unmasked; a waiting signal shows as pending")
    func messageSignalled() throws {
        let machine = try Machine()
        let capability = Int(machine.config(0x34, width: 1))
        #expect(machine.config(capability, width: 1) == 0x11)
        #expect(machine.config(capability + 2, width: 2) == 2, "three vectors")
        let table = machine.config(0x14) & ~0xf
        func messages() -> [InterruptMessage?] { machine.interrupts.messages.withLock { $0 } }
        machine.memoryView.write(table + 16, width: 4, value: 0xfee0_1000)
        machine.memoryView.write(table + 20, width: 4, value: 0)
        machine.memoryView.write(table + 24, width: 4, value: 0x41)
        #expect(machine.memoryView.read(table + 28, width: 4) == 1, "masked out of reset")
        machine.configure(capability + 2, 0x8000, width: 2)
        #expect(messages() == [nil, nil, nil])
        machine.interrupts.events[1].signal()
        #expect(machine.memoryView.read(table + 0x8000, width: 4) == 0b10)
        machine.memoryView.write(table + 28, width: 4, value: 0)
        #expect(messages() == [nil, InterruptMessage(address: 0xfee0_1000, data: 0x41), nil])
        machine.configure(capability + 2, 0xc000, width: 2)
        #expect(messages() == [nil, nil, nil], "function mask")
        machine.memoryView.write(table + 0x30, width: 4, value: 1)
        #expect(machine.memoryView.read(table + 0x30, width: 4) == 0, "no such vector")
    }

    @Test("INTx follows the device unless the guest disables it; devices on one wire share it")
    func interruptWire() throws {
        let machine = try Machine()
        let wire = machine.wires[PCIRoot.interruptRoute(device: 1, pin: 0)]
        #expect(machine.config(0x3c, width: 1) == 16 + 5)
        machine.card.setInterrupt(true)
        #expect(wire.level.withLock { $0 })
        #expect(machine.config(0x06, width: 2) & 8 == 8)
        machine.configure(0x04, 0x400 | 3, width: 2)
        #expect(!wire.level.withLock { $0 })
        machine.configure(0x04, 3, width: 2)
        #expect(wire.level.withLock { $0 })
        machine.card.setInterrupt(false)
        #expect(!wire.level.withLock { $0 })
    }
}
