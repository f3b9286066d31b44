import DeviceModel
import GuestMemory
import Input
import Linux
import VirtioTestSupport

/// A host controller with a tablet and a keyboard, and a guest whose every move comes from the input.
///
/// An input is a byte that says how far a well-behaved driver got before (bits 0 and 1), then commands: a byte that says which,
/// and its parameters. The driver's structures lie at fixed places, so that commands can speak of them in few bytes.
private final class XHCIMachine {
    enum Place {
        static let contexts: UInt64 = 0x1000
        static let commands: UInt64 = 0x2000
        static let table: UInt64 = 0x3000
        static let events: UInt64 = 0x3400
        static let eventCount: UInt64 = 32
        static let input: UInt64 = 0x4000
        static let outputs: UInt64 = 0x5000
        static let control: UInt64 = 0x8000
        static let interrupt: UInt64 = 0x9000
        static let buffer: UInt64 = 0xa000
    }

    let memory: GuestMemory
    let controller: XHCIController
    let tablet = HIDTablet(now: { 0 })
    let keyboard = HIDKeyboard(now: { 0 })
    private var places: [UInt64: UInt64] = [:]
    private let clock = Clock()

    private final class Clock: @unchecked Sendable {
        // @unchecked: one thread.
        var now: UInt64 = 1
    }

    init() throws {
        memory = try GuestMemory(count: 64 << 10)
        let clock = clock
        controller = XHCIController(
            ram: memory.ram, interrupts: try TestInterrupts(XHCIController.vectorCount), loop: nil, log: { _ in },
            now: { clock.now })
        controller.attach(tablet, port: 1)
        controller.attach(keyboard, port: 2)
    }

    func write(_ offset: UInt64, _ value: UInt32) {
        controller.writeBar(0, offset: offset, width: 4, value: UInt64(value))
    }
    func read(_ offset: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: controller.readBar(0, offset: offset, width: 4))
    }

    /// Puts a block at the end of a ring of 64, which begins anew without a link's help.
    func queue(_ ring: UInt64, _ parameter: UInt64, _ status: UInt32, _ control: UInt32) {
        let index = places[ring] ?? 0
        let cycle: UInt32 = index / 63 % 2 == 0 ? 1 : 0
        let address = ring + 16 * (index % 63)
        memory.ram.store(parameter, at: address)
        memory.ram.store(status, at: address + 8)
        memory.ram.store(control & ~1 | cycle, at: address + 12)
        if index % 63 == 62 {
            memory.ram.store(ring, at: ring + 1008)
            memory.ram.store(UInt32(6) << 10 | 2 | cycle, at: ring + 1020)
        }
        places[ring] = index + 1
    }

    func command(_ kind: UInt32, slot: UInt32 = 1, endpoint: UInt32 = 0, parameter: UInt64 = 0, flags: UInt32 = 0) {
        queue(Place.commands, parameter, 0, kind << 10 | slot << 24 | endpoint << 16 | flags)
        write(0x2000, 0)
    }

    func start() {
        write(0x40, 2)
        write(0x78, 16)
        write(0x58, UInt32(Place.commands) | 1)
        write(0x5c, 0)
        write(0x70, UInt32(Place.contexts))
        memory.ram.store(Place.events, at: Place.table)
        memory.ram.store(UInt32(Place.eventCount), at: Place.table + 8)
        write(0x1028, 1)
        write(0x1038, UInt32(Place.events))
        write(0x1030, UInt32(Place.table))
        write(0x1034, 0)
        write(0x1020, 2)
        write(0x40, 5)
    }

    func address(port: UInt32) {
        write(0x440 + 0x10 * UInt64(port - 1), 0x210)
        command(9, slot: 0)
        for slot in UInt64(1)...16 {
            memory.ram.store(Place.outputs + 0x400 * (slot & 7), at: Place.contexts + 8 * slot)
        }
        memory.ram.store(UInt32(0), at: Place.input)
        memory.ram.store(UInt32(3), at: Place.input + 4)
        memory.ram.store(UInt32(1) << 27 | 3 << 20, at: Place.input + 32)
        memory.ram.store(port << 16, at: Place.input + 36)
        endpoint(1, type: 4, ring: Place.control)
        command(11, parameter: Place.input)
        acknowledge()
    }

    func endpoint(_ index: UInt64, type: UInt32, ring: UInt64) {
        let context = Place.input + 32 * (index + 1)
        memory.ram.store(UInt32(64) << 16 | type << 3, at: context + 4)
        memory.ram.store(ring | 1, at: context + 8)
    }

    func configure() {
        memory.ram.store(UInt32(9), at: Place.input + 4)
        memory.ram.store(UInt32(3) << 27 | 3 << 20, at: Place.input + 32)
        endpoint(3, type: 7, ring: Place.interrupt)
        command(12, parameter: Place.input)
        control(0x0000_0000_0001_0900, length: 0)
        acknowledge()
    }

    func control(_ setup: UInt64, length: UInt32) {
        let isIn = setup & 0x80 != 0
        queue(Place.control, setup, 8, 2 << 10 | 1 << 6)
        if length > 0 { queue(Place.control, Place.buffer, length, 3 << 10 | (isIn ? 1 << 16 : 0)) }
        queue(Place.control, 0, 0, 4 << 10 | 1 << 5)
        write(0x2004, 1)
    }

    /// Takes all events, as a driver does that has seen as many as there are.
    func acknowledge() {
        var place = places[Place.events] ?? 0
        for _ in 0..<Place.eventCount {
            let cycle: UInt32 = place / Place.eventCount % 2 == 0 ? 1 : 0
            let control = memory.ram.load(UInt32.self, at: Place.events + 16 * (place % Place.eventCount) + 12) ?? 0
            if control & 1 != cycle { break }
            place += 1
        }
        places[Place.events] = place
        write(0x1038, UInt32(Place.events + 16 * (place % Place.eventCount)) | 8)
    }

    func step(_ feed: inout Feed) {
        switch feed.byte() & 15 {
        case 0: write(UInt64(feed.word()) & 0x3ffc, feed.long())
        case 1: _ = controller.readBar(0, offset: UInt64(feed.word()) & 0x3fff, width: feed.width())
        case 2: memory.ram.store(feed.long(), at: UInt64(feed.word()))
        case 3:
            command(
                UInt32(feed.byte()), slot: UInt32(feed.byte() & 31), endpoint: UInt32(feed.byte() & 31),
                parameter: UInt64(feed.word()), flags: UInt32(feed.word() & 0x3fe))
        case 4:
            let ring = feed.byte() & 1 == 0 ? Place.control : Place.interrupt
            queue(
                ring, UInt64(feed.word()), UInt32(feed.word()), UInt32(feed.byte()) << 10 | UInt32(feed.word() & 0x3fe))
        case 5: write(0x2000 + 4 * UInt64(feed.byte() & 31), UInt32(feed.byte()))
        case 6:
            tablet.move(
                x: feed.word(), y: feed.word(), wheel: Int(Int8(bitPattern: feed.byte())),
                buttons: PointerButtons(rawValue: feed.byte()))
        case 7: if let key = KeyCode(set1: feed.word()) { keyboard.key(key, down: feed.byte() & 1 != 0) }
        case 8: controller.detach(port: Int(feed.byte() & 7))
        case 9: controller.attach(feed.byte() & 1 == 0 ? tablet : keyboard, port: Int(feed.byte() & 7))
        case 10: clock.now += UInt64(feed.word()) * 1000
        case 11: control(feed.wide(), length: UInt32(feed.word()))
        case 12: write(0x440 + 0x10 * UInt64(feed.byte() & 7), feed.long())
        case 13: acknowledge()
        case 14: controller.writeBar(0, offset: UInt64(feed.word()) & 0x3fff, width: feed.width(), value: feed.wide())
        default: controller.reset()
        }
    }

    func checkPromises() {
        let (command, status) = (read(0x40), read(0x44))
        check((command & 1 == 0) == (status & 1 != 0), "it runs or is halted")
        check(status & 4 == 0 || status & 1 != 0, "a system error halts it")
        for port in UInt64(0)..<8 {
            let status = read(0x440 + 0x10 * port)
            check(status & 0x200 != 0, "ports have power")
            check(status & 2 == 0 || status & 1 != 0, "a port without a device is not enabled")
        }
    }
}

func fuzzXHCI(_ bytes: [UInt8]) {
    guard let machine = try? XHCIMachine() else { return }
    var feed = Feed(bytes)
    let progress = feed.byte() & 3
    if progress > 0 { machine.start() }
    if progress > 1 { machine.address(port: 1) }
    if progress > 2 { machine.configure() }
    while !feed.isAtEnd {
        machine.step(&feed)
        machine.checkPromises()
    }
    // Whatever was: a driver that begins anew gets its device.
    machine.controller.reset()
    machine.controller.attach(machine.tablet, port: 1)
    machine.restart()
    check(machine.tablet.isInUse, "after a reset, a driver finds the tablet")
}

extension XHCIMachine {
    /// Begins in fresh memory.
    func restart() {
        try? memory.ram.write([UInt8](repeating: 0, count: 64 << 10), at: 0)
        places = [:]
        start()
        address(port: 1)
        configure()
        queue(Place.interrupt, Place.buffer, 8, 1 << 10 | 1 << 5)
        write(0x2004, 3)
    }
}
