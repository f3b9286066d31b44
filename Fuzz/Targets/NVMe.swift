import BlockTestSupport
import Controllers
import DeviceModel
import GuestMemory
import VirtioTestSupport

/// A driver of an NVMe controller with two namespaces and two pairs of I/O queues. Every queue has its page; commands, pages
/// and registers come from the input.
private struct NVMeMachine {
    private static let queueSize: UInt64 = 8

    let machine: ControllerMachine
    let controller: NVMeController
    let disks: [FuzzDisk]
    private var tails: [UInt64] = [0, 0, 0]
    private var paused = false

    init() throws {
        let memory = try GuestMemory(count: ControllerMachine.memorySize)
        disks = [FuzzDisk(), FuzzDisk()]
        controller = try NVMeController(
            disks.map(\.backend), serial: "fuzz", ram: memory.ram, loops: [nil], queueCount: 2,
            interrupts: try TestInterrupts(3), binder: TestBinder(), control: nil, log: { _ in })
        machine = try ControllerMachine(memory, controller)
    }

    private func write(_ offset: UInt64, _ value: UInt64, _ width: Int = 4) {
        controller.write(region: 0, offset: offset, width: width, value: value)
    }

    private func read(_ offset: UInt64) -> UInt64 { controller.read(region: 0, offset: offset, width: 4) }

    mutating func run(_ bytes: [UInt8]) {
        var feed = Feed(bytes)
        enable(feed.byte())
        while !feed.isAtEnd { step(&feed) }
        write(0x14, 0)
        check(read(0x1c) & 1 == 0, "a disabled controller is not ready")
        enable(0)
        check(read(0x1c) & 3 == 1, "a controller that was reset can be enabled")
        controller.close()
    }

    /// Enables, and creates queues if the choice says so: bit 0 the first pair, 1 the second, 2 that completes to the first.
    private mutating func enable(_ choice: UInt8) {
        if paused { controller.resume() }
        paused = false
        write(0x14, 0)
        tails = [0, 0, 0]
        for offset in stride(from: UInt64(0x1000), to: 0x7000, by: 8) {
            machine.memory.ram.store(UInt64(0), at: offset)
        }
        write(0x24, (Self.queueSize - 1) << 16 | (Self.queueSize - 1))
        write(0x28, 0x1000, 8)
        write(0x30, 0x2000, 8)
        write(0x14, 0x46_0001)
        for queue: UInt64 in [1, 2] where choice & UInt8(queue) != 0 {
            let size = UInt32(Self.queueSize - 1) << 16 | UInt32(queue)
            put(0, [0x05, 0], (queue * 0x2000 + 0x2000, 0), [size, UInt32(queue) << 16 | 3])
            let completion = queue == 2 && choice & 5 == 5 ? 1 : queue
            put(0, [0x01, 0], (queue * 0x2000 + 0x1000, 0), [size, UInt32(completion) << 16 | 1])
            ring(0)
            write(0x1004, read(0x1004))
        }
    }

    /// Puts a command into a queue: opcode with flags and identifier, and namespace; pointers; words 10 to 13.
    private mutating func put(_ queue: Int, _ head: [UInt32], _ pointers: (UInt64, UInt64), _ words: [UInt32]) {
        let ram = machine.memory.ram
        let entry = 0x1000 + UInt64(queue) * 0x2000 + tails[queue] * 64
        for (index, word) in head.enumerated() { ram.store(word, at: entry + 4 * UInt64(index)) }
        ram.store(pointers.0, at: entry + 24)
        ram.store(pointers.1, at: entry + 32)
        for (index, word) in words.enumerated() { ram.store(word, at: entry + 40 + 4 * UInt64(index)) }
        tails[queue] = (tails[queue] + 1) % Self.queueSize
    }

    private func ring(_ queue: Int) { write(0x1000 + 8 * UInt64(queue), tails[queue]) }

    private mutating func step(_ feed: inout Feed) {
        switch feed.byte() & 15 {
        case 0, 1:
            // A command in short: its numbers are small.
            let queue = Int(feed.byte()) % 3
            let head = [UInt32(feed.word()) & 0xc3ff | UInt32(feed.byte()) << 16, UInt32(feed.byte())]
            let pointers = (machine.address(&feed), machine.address(&feed))
            put(queue, head, pointers, [UInt32(feed.word()), UInt32(feed.byte()), UInt32(feed.word()), 0])
        case 2:
            let queue = Int(feed.byte()) % 3
            let pointers = (feed.wide(), feed.wide())
            put(queue, [feed.long(), feed.long()], pointers, [feed.long(), feed.long(), feed.long(), feed.long()])
        case 3: ring(Int(feed.byte()) % 3)
        case 4: write(0x1000 + 4 * UInt64(feed.byte() & 7), UInt64(feed.byte()))
        case 5: write(0x1000 + UInt64(feed.word() & 0x3fff), feed.wide(), feed.width())
        case 6: write(UInt64(feed.byte() & 0x3f), feed.wide(), feed.width())
        case 7: _ = controller.read(region: 0, offset: UInt64(feed.word() & 0x3fff), width: feed.width())
        case 8: machine.poke(&feed)
        case 9:
            // An entry of a list of pages.
            machine.memory.ram.store(machine.address(&feed), at: UInt64(feed.word() & 0xfff8))
        case 10: disks[Int(feed.byte() & 1)].event(feed.byte())
        case 11: machine.writeConfiguration(&feed)
        case 12: machine.readConfiguration(&feed)
        case 13:
            paused.toggle()
            if paused { controller.pause() } else { controller.resume() }
            check(!paused || disks.allSatisfy { $0.backend.queues.allSatisfy(\.isSuspended) }, "pausing suspends disks")
        case 14: enable(feed.byte())
        default: controller.write(region: 4, offset: UInt64(feed.byte()), width: feed.width(), value: feed.wide())
        }
    }
}

func fuzzNVMe(_ bytes: [UInt8]) {
    guard var machine = try? NVMeMachine() else { return }
    machine.run(bytes)
}
