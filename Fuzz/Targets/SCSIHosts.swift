import BlockTestSupport
import Controllers
import DeviceModel
import GuestMemory
import Linux
import VirtioTestSupport

/// What the drivers of SCSI host adapters have in common: a disk, a CD drive, and a target that comes and goes.
private struct SCSIDrives {
    let disk = FuzzDisk()
    let disc = FuzzDisk()
    private var isAttached = false

    var drives: [SCSIDrive?] { [.disk(disk.backend), .cd(disc.backend, serial: "fuzz")] }

    /// Something happens outside of the guest.
    mutating func event(_ feed: inout Feed, _ adapter: any SCSIHostAdapter) {
        let choice = feed.byte()
        switch choice >> 6 {
        case 0: (choice & 0x20 == 0 ? disk : disc).event(feed.byte())
        case 1:
            let medium = choice & 1 == 0 ? nil : disc.backend
            _ = try? adapter.changeMedium(port: 1, to: medium, force: choice & 2 != 0)
        case 2 where !isAttached:
            isAttached = (try? adapter.attach(.cd(nil, serial: "other"), target: 5)) != nil
        default:
            adapter.detach(target: 5)
            isAttached = false
        }
    }

    /// Puts everything back.
    func settle() {
        disk.event(0)
        disc.event(0)
    }
}

/// Commands that are likely to mean something, with bytes of the input.
private func commandBlock(_ feed: inout Feed) -> [UInt8] {
    let codes: [UInt8] = [0x00, 0x12, 0x28, 0x2a, 0x35, 0x42, 0x41, 0x93, 0x1b, 0x25, 0x55, 0x5a, 0xa0, 0x88]
    let choice = feed.byte()
    var bytes: [UInt8] = [choice & 0x80 == 0 ? codes[Int(choice) % codes.count] : feed.byte()]
    bytes += [feed.byte() & 0x1f, 0, 0, 0, feed.byte() & 0x3f, 0, 0, feed.byte() & 0x1f, feed.byte()]
    return bytes
}

/// A driver of PVSCSI with rings of a page each, whose entries, memory and registers come from the input.
private struct PVSCSIMachine {
    private static let state: UInt64 = 0x1000
    private static let requests: UInt64 = 0x2000
    private static let completions: UInt64 = 0x3000
    private static let messages: UInt64 = 0x4000

    let machine: ControllerMachine
    let adapter: PVSCSIAdapter
    private var drives = SCSIDrives()
    private var paused = false

    init() throws {
        let memory = try GuestMemory(count: ControllerMachine.memorySize)
        adapter = try PVSCSIAdapter(
            drives.drives, ram: memory.ram, loop: nil, interrupts: try TestInterrupts(1), binder: nil, log: { _ in })
        machine = try ControllerMachine(memory, adapter)
    }

    private func write(_ offset: UInt64, _ value: UInt64, _ width: Int = 4) {
        adapter.write(region: 0, offset: offset, width: width, value: value)
    }

    private func command(_ code: UInt64, _ words: [UInt64]) {
        write(0, code)
        for word in words { write(4, word) }
    }

    private func start() {
        command(1, [])
        let ram = machine.memory.ram
        for offset in stride(from: UInt64(0), to: 256, by: 8) { ram.store(UInt64(0), at: Self.state + offset) }
        var words = [UInt64](repeating: 0, count: 132)
        (words[0], words[1], words[2]) = (1, 1, Self.state >> 12)
        (words[4], words[68]) = (Self.requests >> 12, Self.completions >> 12)
        command(3, words)
        words = [UInt64](repeating: 0, count: 34)
        (words[0], words[2]) = (1, Self.messages >> 12)
        command(8, words)
        write(0x2010, 0xf)
    }

    private func index(_ offset: UInt64) -> UInt32 {
        machine.memory.ram.load(UInt32.self, at: Self.state + offset) ?? 0
    }

    private func offer(_ cdb: [UInt8], target: UInt8, flags: UInt32, data: UInt64, count: UInt64) {
        let ram = machine.memory.ram
        let entry = Self.requests + UInt64(index(0) % 32) * 128
        for offset in stride(from: UInt64(0), to: 128, by: 8) { ram.store(UInt64(0), at: entry + offset) }
        ram.store(UInt64(index(0)), at: entry)
        ram.store(data, at: entry + 8)
        ram.store(count, at: entry + 16)
        ram.store(UInt64(0x5000), at: entry + 24)
        ram.store(UInt32(18), at: entry + 32)
        ram.store(flags, at: entry + 36)
        for (at, byte) in cdb.enumerated() { ram.store(byte, at: entry + 40 + UInt64(at)) }
        ram.store(target, at: entry + 67)
        ram.store(index(0) &+ 1, at: Self.state)
    }

    mutating func run(_ bytes: [UInt8]) {
        var feed = Feed(bytes)
        start()
        while !feed.isAtEnd { step(&feed) }
        if paused { adapter.resume() }
        drives.settle()
        start()
        check(index(8) == 5 && index(20) == 7, "rings of a page are set up after whatever came before")
        offer([0x12, 0, 0, 0, 36, 0], target: 0, flags: 8, data: 0x8000, count: 36)
        write(0x4018, 0)
        check(index(4) == 1 && index(12) == 1, "an adapter that was reset works")
        check(machine.memory.ram.load(UInt64.self, at: Self.completions + 8) == 36, "and answers")
        adapter.close()
    }

    private mutating func step(_ feed: inout Feed) {
        switch feed.byte() & 15 {
        case 0, 1, 2, 3:
            let cdb = commandBlock(&feed)
            let kind = feed.byte()
            offer(
                cdb, target: kind & 7, flags: UInt32(kind >> 3), data: machine.address(&feed),
                count: UInt64(feed.word()))
            if feed.byte() & 1 == 0 { write(0x4018, 0) }
        case 4: write(0x3014, 0)
        case 5: command(UInt64(feed.byte() & 15), (0..<Int(feed.byte() & 7)).map { _ in UInt64(feed.long()) })
        case 6: write(UInt64(feed.word() & 0x7fff), feed.wide(), feed.width())
        case 7: _ = adapter.read(region: 0, offset: UInt64(feed.word() & 0x7fff), width: feed.width())
        case 8: machine.poke(&feed)
        case 9: start()
        case 10: drives.event(&feed, adapter)
        case 11: machine.writeConfiguration(&feed)
        case 12: machine.readConfiguration(&feed)
        case 13:
            paused.toggle()
            if paused { adapter.pause() } else { adapter.resume() }
        case 14: machine.memory.ram.store(index(12), at: Self.state + 16)
        default: command(6, [UInt64(feed.byte()), 0, UInt64(feed.byte() & 7), 0])
        }
    }
}

func fuzzPVSCSI(_ bytes: [UInt8]) {
    guard var machine = try? PVSCSIMachine() else { return }
    machine.run(bytes)
}

/// A driver of one of LSI Logic's controllers; the first byte says which.
private struct MPTMachine {
    let machine: ControllerMachine
    let controller: MPTController
    private var drives = SCSIDrives()
    private var paused = false

    init(_ model: MPTModel) throws {
        let memory = try GuestMemory(count: ControllerMachine.memorySize)
        controller = try MPTController(
            model, drives.drives, ram: memory.ram, loop: nil, interrupts: try TestInterrupts(1), log: { _ in })
        machine = try ControllerMachine(memory, controller)
    }

    private func write(_ offset: UInt64, _ value: UInt64, _ width: Int = 4) {
        controller.write(region: 1, offset: offset, width: width, value: value)
    }

    private func read(_ offset: UInt64) -> UInt64 { controller.read(region: 1, offset: offset, width: 4) }

    private func handshake(_ words: [UInt32]) {
        write(0, 0x42 << 24 | UInt64(words.count) << 16)
        for word in words { write(0, UInt64(word)) }
        for _ in 0..<64 where read(0) & 0x0800_0000 != 0 { write(0x30, 0) }
    }

    private func start() {
        for key: UInt64 in [0xff, 4, 11, 2, 7, 13] { write(4, key) }
        if read(8) & 0x80 == 0 { for key: UInt64 in [0xff, 4, 11, 2, 7, 13] { write(4, key) } }
        write(8, 4)
        handshake([0x0200_0002, 0x0001_1000, 0, 80, 0, 0])
        for frame: UInt64 in 0..<8 { write(0x44, 0x6000 + 0x80 * frame) }
        write(0x34, 0)
    }

    private func offer(_ slot: UInt64, _ words: [UInt32]) {
        for (index, word) in words.enumerated() {
            machine.memory.ram.store(word, at: 0x1000 + 0x80 * slot + UInt64(4 * index))
        }
        write(0x40, 0x1000 + 0x80 * slot)
    }

    private func request(_ cdb: [UInt8], target: UInt8, control: UInt8, length: UInt32, _ elements: [UInt32])
        -> [UInt32]
    {
        var words: [UInt32] = [UInt32(target), 0x2000 | UInt32(cdb.count), 0x77, 0, 0, UInt32(control & 3) << 24]
        for at in 0..<4 {
            words.append(
                (0..<4).reduce(UInt32(0)) { $0 | UInt32(4 * at + $1 < cdb.count ? cdb[4 * at + $1] : 0) << (8 * $1) })
        }
        return words + [length, 0x5000] + elements
    }

    mutating func run(_ feed: inout Feed) {
        start()
        while !feed.isAtEnd { step(&feed) }
        if paused { controller.resume() }
        drives.settle()
        start()
        check(read(0) >> 28 == 2, "a controller that was reset can be initialised")
        check(read(0x44) == 0xffff_ffff, "and has no replies")
        offer(0, request([0x12, 0, 0, 0, 36, 0], target: 0, control: 2, length: 36, [0xd100_0024, 0x8000]))
        check(read(0x44) == 0x77, "and works")
        controller.close()
    }

    private mutating func step(_ feed: inout Feed) {
        switch feed.byte() & 15 {
        case 0, 1, 2:
            let slot = UInt64(feed.byte() & 31)
            let cdb = commandBlock(&feed)
            let kind = feed.byte()
            var elements: [UInt32] = []
            for _ in 0..<feed.byte() & 7 {
                elements += [
                    UInt32(feed.byte()) << 24 | UInt32(feed.word()), UInt32(truncatingIfNeeded: machine.address(&feed)),
                ]
            }
            var words = request(
                cdb, target: kind & 7, control: kind >> 4, length: UInt32(feed.word()), elements)
            words[0] |= UInt32(feed.byte() & 31) << 16
            offer(slot, words)
        case 3:
            let slot = UInt64(feed.byte() & 31)
            offer(slot, [UInt32(feed.byte() & 31) << 24 | UInt32(feed.byte() & 7)] + (0..<12).map { _ in feed.long() })
        case 4: handshake([UInt32(feed.byte() & 31) << 24 | UInt32(feed.word())] + (0..<8).map { _ in feed.long() })
        case 5: write(0x40, UInt64(feed.long()))
        case 6: write(UInt64(feed.byte() & 0x7c), UInt64(feed.long()), feed.width())
        case 7: _ = read(UInt64(feed.byte()))
        case 8: machine.poke(&feed)
        case 9: start()
        case 10: drives.event(&feed, controller)
        case 11: machine.writeConfiguration(&feed)
        case 12: machine.readConfiguration(&feed)
        case 13:
            paused.toggle()
            if paused { controller.pause() } else { controller.resume() }
        case 14: for _ in 0..<feed.byte() & 15 { _ = read(0x44) }
        default: write(0x44, UInt64(feed.byte()) << 8)
        }
    }
}

func fuzzFusionMPT(_ bytes: [UInt8]) {
    var feed = Feed(bytes)
    guard var machine = try? MPTMachine(feed.byte() & 1 == 0 ? .parallel : .sas) else { return }
    machine.run(&feed)
}

func fuzzVirtioSCSI(_ bytes: [UInt8]) {
    runVirtio(bytes) { memory in
        let drives = SCSIDrives()
        let device = try VirtioSCSI(drives.drives, ram: memory.ram, loop: nil, queueCount: 2, log: { _ in })
        return (
            device,
            { choice in
                switch choice >> 6 {
                case 0: drives.disk.event(choice & 0x3f)
                case 1: drives.disc.event(choice & 0x3f)
                case 2: try? device.attach(.cd(nil, serial: "other"), target: 5)
                default: device.detach(target: 5)
                }
            }
        )
    }
}
