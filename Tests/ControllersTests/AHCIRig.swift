import BlockTestSupport
import DeviceModel
import GuestMemory
import Linux
import VirtioTestSupport

@testable import Controllers

/// A machine with a SATA controller, and a guest's driver for its ports.
final class AHCIRig {
    enum Register {
        static let interruptStatus: UInt64 = 0x10
        static let interruptEnable: UInt64 = 0x14
        static let command: UInt64 = 0x18
        static let taskFile: UInt64 = 0x20
        static let signature: UInt64 = 0x24
        static let status: UInt64 = 0x28
        static let control: UInt64 = 0x2c
        static let error: UInt64 = 0x30
        static let active: UInt64 = 0x34
        static let issue: UInt64 = 0x38
    }

    /// How a command ended.
    struct Answer: Equatable {
        /// Error and status.
        var taskFile: UInt32
        /// Bytes moved.
        var count: UInt32
    }

    let memory: GuestMemory
    let heap: GuestHeap
    let interrupts: TestInterrupts
    let line = TestLine()
    let log = TestLog()
    let controller: AHCIController
    let root: PCIRoot
    let slot: PCIAddress
    let isThreaded: Bool
    /// Per port: command list, receive area, a table for each command.
    private(set) var lists: [Int: GuestAddress] = [:]
    private(set) var areas: [Int: GuestAddress] = [:]
    private var tables: [Int: [GuestAddress]] = [:]

    init(_ devices: [AHCIController.Device?], loops: [EventLoop?] = [nil], bytes: Int = 32 << 20) throws {
        memory = try GuestMemory(count: bytes)
        heap = GuestHeap(memory)
        interrupts = try TestInterrupts(1)
        isThreaded = loops[0] != nil
        let log = log
        controller = try AHCIController(
            devices, ram: memory.ram, loops: loops, interrupts: interrupts,
            trayMoved: { port, isOut in log.add("tray \(port) \(isOut ? "out" : "in")") }, log: { log.add($0) })
        root = PCIRoot(
            ports: .ports(), memory: .memory(),
            windows: PCIWindows(
                ports: 0xc000...0xcfff, memory32: 0xc000_0000...0xc0ff_ffff, memory64: 0x2_0000_0000...0x2_00ff_ffff),
            interruptLines: [SharedInterruptLine(line)])
        slot = try root.plug(controller)
    }

    deinit { controller.close() }

    func read(_ offset: UInt64) -> UInt32 { UInt32(controller.read(region: 5, offset: offset, width: 4)) }
    func write(_ offset: UInt64, _ value: UInt32) {
        controller.write(region: 5, offset: offset, width: 4, value: UInt64(value))
    }
    func read(_ port: Int, _ register: UInt64) -> UInt32 { read(0x100 + 0x80 * UInt64(port) + register) }
    func write(_ port: Int, _ register: UInt64, _ value: UInt32) {
        write(0x100 + 0x80 * UInt64(port) + register, value)
    }

    func configure(_ offset: UInt64, _ width: Int, _ value: UInt64) {
        root.write(
            region: PCIRoot.ecamRegion, offset: UInt64(slot.routing) << 12 | offset, width: width, value: value)
    }

    func configuration(_ offset: UInt64, _ width: Int) -> UInt64 {
        root.read(region: PCIRoot.ecamRegion, offset: UInt64(slot.routing) << 12 | offset, width: width)
    }

    func capability(_ identifier: UInt8) -> UInt64 {
        var offset = configuration(0x34, 1)
        while offset != 0, configuration(offset, 1) != identifier { offset = configuration(offset + 1, 1) }
        return offset
    }

    func enableMSI() {
        let offset = capability(5)
        configure(offset + 4, 4, 0xfee0_0000)
        configure(offset + 8, 4, 0)
        configure(offset + 12, 2, 0x41)
        configure(offset + 2, 2, 0x81)
    }

    /// What drivers do first: reset the controller, interrupts on, set up a port's memory, start it.
    func start(_ port: Int = 0, messages: Bool = true) {
        if messages { enableMSI() }
        write(0x04, 1)
        while read(0x04) & 1 != 0 {}
        write(0x04, 0x8000_0002)
        lists[port] = heap.allocate(1024, alignment: 1024)
        areas[port] = heap.allocate(256, alignment: 256)
        tables[port] = (0..<32).map { _ in heap.allocate(0x80 + 16 * 300, alignment: 128) }
        write(port, 0, UInt32(lists[port] ?? 0))
        write(port, 4, 0)
        write(port, 8, UInt32(areas[port] ?? 0))
        write(port, 0x0c, 0)
        write(port, Register.command, 0x10)
        write(port, Register.error, .max)
        write(port, Register.interruptStatus, .max)
        write(port, Register.interruptEnable, 0x7dc0_007f)
        restart(port)
    }

    /// Starts the list, after stopping it as drivers do.
    func restart(_ port: Int = 0) {
        write(port, Register.command, 0x10)
        while read(port, Register.command) & 0x8000 != 0 {}
        write(port, Register.error, .max)
        write(port, Register.interruptStatus, .max)
        write(port, Register.command, 0x11)
    }

    /// A frame that carries a command.
    static func frame(
        _ opcode: UInt8, block: UInt64 = 0, count: UInt16 = 0, features: UInt16 = 0, device: UInt8 = 0x40
    ) -> [UInt8] {
        func byte(_ value: UInt64, _ index: Int) -> UInt8 { UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))) }
        return [
            0x27, 0x80, opcode, UInt8(truncatingIfNeeded: features), byte(block, 0), byte(block, 1), byte(block, 2),
            device, byte(block, 3), byte(block, 4), byte(block, 5), UInt8(features >> 8),
            UInt8(truncatingIfNeeded: count), UInt8(count >> 8), 0, 0, 0, 0, 0, 0,
        ]
    }

    /// Puts a command into the list without issuing it.
    func prepare(
        _ frame: [UInt8], slot: Int = 0, port: Int = 0, memory pieces: [(GuestAddress, Int)] = [],
        isWrite: Bool = false, packet: [UInt8] = []
    ) {
        guard let list = lists[port], let table = tables[port]?[slot] else { return }
        let header = list + UInt64(32 * slot)
        let ram = memory.ram
        ram.store(
            5 | (isWrite ? 1 << 6 : 0) | (packet.isEmpty ? 0 : 1 << 5) | UInt32(pieces.count) << 16 as UInt32,
            at: header)
        ram.store(UInt32(0), at: header + 4)
        ram.store(table, at: header + 8)
        try? ram.write(frame, at: table)
        try? ram.write(packet + [UInt8](repeating: 0, count: 16 - packet.count), at: table + 0x40)
        for (index, (address, count)) in pieces.enumerated() {
            ram.store(address, at: table + 0x80 + UInt64(16 * index))
            ram.store(UInt32(0), at: table + 0x88 + UInt64(16 * index))
            ram.store(UInt32(count - 1), at: table + 0x8c + UInt64(16 * index))
        }
    }

    /// Takes the port's interrupt, as a handler does.
    @discardableResult
    func acknowledge(_ port: Int = 0) -> UInt32 {
        let status = read(port, Register.interruptStatus)
        write(port, Register.interruptStatus, status)
        write(0x08, 1 << UInt32(port))
        return status
    }

    /// Issues commands and waits until they have ended, well or not.
    ///
    /// - Returns: the interrupt status bits that were seen.
    @discardableResult
    func issue(_ slots: UInt32, queued: Bool = false, port: Int = 0) -> UInt32 {
        if queued { write(port, Register.active, slots) }
        write(port, Register.issue, slots)
        var seen: UInt32 = 0
        while true {
            seen |= acknowledge(port)
            let left = read(port, Register.issue) & slots | (queued ? read(port, Register.active) & slots : 0)
            if left == 0 || seen & 0x4000_0000 != 0 || !isThreaded { return seen }
            waitFor(interrupts.events[0])
        }
    }

    func run(
        _ frame: [UInt8], slot: Int = 0, port: Int = 0, memory pieces: [(GuestAddress, Int)] = [],
        isWrite: Bool = false, packet: [UInt8] = []
    ) -> Answer {
        prepare(frame, slot: slot, port: port, memory: pieces, isWrite: isWrite, packet: packet)
        issue(1 << UInt32(slot), port: port)
        let count = memory.ram.load(UInt32.self, at: (lists[port] ?? 0) + UInt64(32 * slot) + 4) ?? 0
        return Answer(taskFile: read(port, Register.taskFile), count: count)
    }

    /// Runs a command that hands data to the driver.
    func fetch(_ frame: [UInt8], count: Int, port: Int = 0, packet: [UInt8] = []) -> (Answer, [UInt8]) {
        let buffer = heap.allocate(count, alignment: 16)
        let answer = run(frame, port: port, memory: [(buffer, count)], packet: packet)
        return (answer, heap.bytes(Int(answer.count), at: buffer))
    }

    /// Runs a packet command of a CD drive.
    func packet(_ bytes: [UInt8], count: Int = 0, port: Int = 0) -> (Answer, [UInt8]) {
        let packet = bytes + [UInt8](repeating: 0, count: 12 - bytes.count)
        let frame = Self.frame(0xa0, features: 1, device: 0)
        if count == 0 { return (run(frame, port: port, packet: packet), []) }
        return fetch(frame, count: count, port: port, packet: packet)
    }

    /// Sense key, code and qualifier, after a packet that failed.
    func sense(port: Int = 0) -> [UInt8] {
        restart(port)
        let (_, bytes) = packet([3, 0, 0, 0, 18], count: 18, port: port)
        return bytes.count == 18 ? [bytes[2], bytes[12], bytes[13]] : []
    }
}
