import BlockTestSupport
import Controllers
import DeviceModel
import GuestMemory
import Linux
import VirtioTestSupport

/// A driver of a SATA controller with a disk, a CD drive and an empty port. Lists, tables and receive areas have their places;
/// commands, memory and registers come from the input.
private struct AHCIMachine {
    let machine: ControllerMachine
    let controller: AHCIController
    let disk = FuzzDisk()
    let disc = FuzzDisk()
    private var paused = false

    init() throws {
        let memory = try GuestMemory(count: ControllerMachine.memorySize)
        controller = try AHCIController(
            [.disk(disk.backend), .cd(disc.backend, serial: "fuzz"), nil], ram: memory.ram, loops: [nil],
            interrupts: try TestInterrupts(1), log: { _ in })
        machine = try ControllerMachine(memory, controller)
    }

    private func write(_ offset: UInt64, _ value: UInt64, _ width: Int = 4) {
        controller.write(region: 5, offset: offset, width: width, value: value)
    }

    private func read(_ offset: UInt64) -> UInt64 { controller.read(region: 5, offset: offset, width: 4) }

    private func port(_ number: UInt64, _ register: UInt64) -> UInt64 { 0x100 + 0x80 * number + register }

    /// Stops a port, tells it its memory and starts it.
    private func start(_ number: UInt64) {
        write(port(number, 0x18), 0)
        write(port(number, 0x00), 0x1000 + 0x400 * number, 8)
        write(port(number, 0x08), 0x2000 + 0x100 * number, 8)
        write(port(number, 0x30), .max)
        write(port(number, 0x10), .max)
        write(port(number, 0x14), .max)
        write(port(number, 0x18), 0x11)
    }

    mutating func run(_ bytes: [UInt8]) {
        var feed = Feed(bytes)
        write(0x04, 2)
        for number: UInt64 in [0, 1] { start(number) }
        while !feed.isAtEnd { step(&feed) }
        if paused { controller.resume() }
        disk.event(0)
        disc.event(0)
        write(0x04, 1)
        for number: UInt64 in [0, 1, 2] {
            check(read(port(number, 0x18)) & 0x8000 == 0, "a port that was reset does not run")
            check(read(port(number, 0x38)) == 0 && read(port(number, 0x34)) == 0, "it has no commands")
        }
        // An IDENTIFY that is answered.
        for (number, opcode): (UInt64, UInt8) in [(0, 0xec), (1, 0xa1)] {
            start(number)
            put(number, 0, [0x27, 0x80, opcode], memory: [(0x8000, 512)])
            write(port(number, 0x38), 1)
            check(read(port(number, 0x20)) == 0x50, "a port that was reset works")
        }
        controller.close()
    }

    /// Puts a command into a port's list.
    private func put(_ port: UInt64, _ slot: UInt64, _ frame: [UInt8], memory: [(UInt64, UInt32)], packet: [UInt8] = [])
    {
        let ram = machine.memory.ram
        let table = 0x3000 + port * 0x2000 + (slot & 7) * 0x400
        let header = 0x1000 + 0x400 * port + 32 * slot
        ram.store(5 | UInt32(memory.count) << 16, at: header)
        ram.store(table, at: header + 8)
        for index in 0..<20 { ram.store(index < frame.count ? frame[index] : 0, at: table + UInt64(index)) }
        for (index, byte) in packet.enumerated() { ram.store(byte, at: table + 0x40 + UInt64(index)) }
        for (index, (address, count)) in memory.enumerated() {
            ram.store(address, at: table + 0x80 + UInt64(16 * index))
            ram.store(count &- 1, at: table + 0x8c + UInt64(16 * index))
        }
    }

    private func pieces(_ feed: inout Feed) -> [(UInt64, UInt32)] {
        var pieces: [(UInt64, UInt32)] = []
        for _ in 0..<feed.byte() & 7 { pieces.append((machine.address(&feed), UInt32(feed.byte()) << 8)) }
        return pieces
    }

    private mutating func step(_ feed: inout Feed) {
        switch feed.byte() & 15 {
        case 0:
            let slot = feed.byte()
            var frame: [UInt8] = [0x27, 0x80, feed.byte(), feed.byte(), feed.byte(), 0, 0, 0x40]
            frame += [0, 0, 0, 0, feed.byte(), 0, 0, 0]
            put(UInt64(slot >> 7), UInt64(slot & 31), frame, memory: pieces(&feed))
        case 1:
            // A queued command, whose tag is its slot.
            let slot = feed.byte() & 31
            let frame: [UInt8] = [0x27, 0x80, 0x60 | feed.byte() & 1, feed.byte(), feed.byte(), 0, 0, 0x40]
            put(0, UInt64(slot), frame + [0, 0, 0, 0, slot << 3], memory: pieces(&feed))
        case 2:
            let slot = feed.byte() & 31
            var packet: [UInt8] = []
            for _ in 0..<12 { packet.append(feed.byte()) }
            put(1, UInt64(slot), [0x27, 0x80, 0xa0, 1], memory: pieces(&feed), packet: packet)
        case 3:
            let slot = feed.byte()
            var frame: [UInt8] = []
            for _ in 0..<20 { frame.append(feed.byte()) }
            put(UInt64(slot >> 7), UInt64(slot & 31), frame, memory: pieces(&feed))
        case 4:
            let number = UInt64(feed.byte() % 3)
            let slots = UInt64(feed.long())
            if feed.byte() & 1 != 0 { write(port(number, 0x34), slots) }
            write(port(number, 0x38), slots)
        case 5: write(port(UInt64(feed.byte() % 4), UInt64(feed.byte() & 0x7c)), UInt64(feed.long()))
        case 6: write(UInt64(feed.word() & 0xfff), feed.wide(), feed.width())
        case 7: _ = controller.read(region: 5, offset: UInt64(feed.word() & 0xfff), width: feed.width())
        case 8: machine.poke(&feed)
        case 9: start(UInt64(feed.byte() % 3))
        case 10: (feed.byte() & 1 == 0 ? disk : disc).event(feed.byte())
        case 11: machine.writeConfiguration(&feed)
        case 12: machine.readConfiguration(&feed)
        case 13:
            paused.toggle()
            if paused { controller.pause() } else { controller.resume() }
        case 14:
            let choice = feed.byte()
            _ = try? controller.changeMedium(
                port: 1, to: choice & 1 == 0 ? nil : disc.backend, force: choice & 2 != 0)
        default: write(0x04, UInt64(feed.byte() & 3))
        }
    }
}

func fuzzAHCI(_ bytes: [UInt8]) {
    guard var machine = try? AHCIMachine() else { return }
    machine.run(bytes)
}
