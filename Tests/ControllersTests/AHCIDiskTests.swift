import BlockEngine
import BlockTestSupport
import CLinux
import Controllers
import DeviceModel
import Linux
import TestFiles
import Testing
import VirtioTestSupport

@Suite("SATA disks")
struct AHCIDiskTests {
    private func text(_ words: ArraySlice<UInt8>) -> String {
        let bytes = Array(words)
        return String(decoding: bytes.indices.map { bytes[$0 ^ 1] }, as: UTF8.self)
    }

    private static let good = AHCIRig.Answer(taskFile: 0x50, count: 0)

    @Test("the function is VMware's SATA controller with MSI, and tells which ports have what")
    func function() throws {
        let rig = try AHCIRig([.disk(MemoryBlockBackend(capacity: 1 << 20)), nil, .cd(nil, serial: "1")])
        #expect(rig.configuration(0, 4) == 0x07e0_15ad)
        #expect(rig.configuration(8, 4) == 0x0106_0100)
        #expect(rig.capability(5) != 0)
        #expect(rig.read(0x00) == 0xc134_1f02)
        #expect(rig.read(0x0c) == 0b111)
        #expect(rig.read(0x10) == 0x0001_0300)
        #expect(rig.read(0x04) == 0x8000_0000)
        for (port, status, signature): (Int, UInt32, UInt32) in [
            (0, 0x133, 0x101), (1, 0, .max), (2, 0x133, 0xeb14_0101),
        ] {
            #expect(rig.read(port, AHCIRig.Register.status) == status)
            #expect(rig.read(port, AHCIRig.Register.signature) == signature)
        }
        // An empty port can be started and stopped by a driver that does not care.
        rig.write(1, AHCIRig.Register.command, 0x11)
        rig.write(1, AHCIRig.Register.command, 0x10)
        #expect(rig.read(1, AHCIRig.Register.command) & 0x8000 == 0)
    }

    @Test("MSI delivers the message that the guest set, and none once it is switched off or reset")
    func message() throws {
        let rig = try AHCIRig([.disk(MemoryBlockBackend(capacity: 1 << 20))])
        #expect(rig.interrupts.message(0) == nil)
        rig.enableMSI()
        #expect(rig.interrupts.message(0) == InterruptMessage(address: 0xfee0_0000, data: 0x41))
        let control = rig.capability(5) + 2
        // One vector with addresses of 64 bits, whatever the guest asks for.
        rig.configure(control, 2, 0xffff)
        #expect(rig.configuration(control, 2) == 0x81)
        rig.configure(control, 2, 0)
        #expect(rig.interrupts.message(0) == nil)
        rig.enableMSI()
        rig.root.reset()
        #expect(rig.interrupts.message(0) == nil)
        #expect(rig.configuration(control, 2) == 0x80)
    }

    @Test("a disk identifies itself by name, serial number, size and what it can do")
    func identify() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20, identity: "VMWARE-0001")
        let rig = try AHCIRig([.disk(disk)])
        rig.start()
        let (answer, data) = rig.fetch(AHCIRig.frame(0xec), count: 512)
        #expect(answer == AHCIRig.Answer(taskFile: 0x50, count: 512))
        try #require(data.count == 512)
        #expect(text(data[20..<40]) == "VMWARE-0001         ")
        #expect(text(data[54..<94]).hasPrefix("VMware Virtual SATA Hard Drive "))
        #expect(data[200..<204] == [0, 8, 0, 0])
        #expect(data[152..<154] == [0x0e, 0x01])
        #expect(data.reduce(0, &+) == 0)
        // The driver that waits for programmed transfers sees the frame before the data, too.
        #expect(rig.heap.bytes(3, at: (rig.areas[0] ?? 0) + 0x20) == [0x5f, 0x60, 0x58])
        #expect(rig.heap.bytes(3, at: (rig.areas[0] ?? 0) + 0x40) == [0x34, 0x40, 0x50])
    }

    private static let pairs: [(write: UInt8, read: UInt8)] = [
        (0x35, 0x25), (0xca, 0xc8), (0x34, 0x24), (0x30, 0x20), (0x39, 0x29), (0xc5, 0xc4), (0x3d, 0x25),
    ]

    @Test("what is written can be read, with every command for it", arguments: pairs)
    func roundTrip(write: UInt8, read: UInt8) throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try AHCIRig([.disk(disk)])
        rig.start()
        let data = pattern(4096, seed: Int(write))
        let first = rig.heap.place(Array(data.prefix(1022)), alignment: 2)
        let second = rig.heap.place(Array(data.dropFirst(1022)), alignment: 2)
        let answer = rig.run(
            AHCIRig.frame(write, block: 5, count: 8), memory: [(first, 1022), (second, 3074)], isWrite: true)
        #expect(answer == AHCIRig.Answer(taskFile: 0x50, count: 4096))
        #expect(Array(disk.bytes[5 * 512..<13 * 512]) == data)
        let (read, bytes) = rig.fetch(AHCIRig.frame(read, block: 5, count: 8), count: 4096)
        #expect(read == AHCIRig.Answer(taskFile: 0x50, count: 4096))
        #expect(bytes == data)
    }

    @Test("a driver that speaks of cylinders gets the same sectors")
    func cylinders() throws {
        let disk = MemoryBlockBackend(capacity: 4 << 20)
        let rig = try AHCIRig([.disk(disk)])
        rig.start()
        // Cylinder 1, head 2, sector 3 of 16 heads with 63 sectors.
        let block = (1 * 16 + 2) * 63 + 2
        disk.bytes[block * 512] = 77
        let (_, bytes) = rig.fetch(AHCIRig.frame(0x20, block: 0x000103, count: 1, device: 0x02), count: 512)
        #expect(bytes.first == 77)
        #expect(rig.run(AHCIRig.frame(0x20, block: 0, count: 1, device: 0), memory: [(0x1000, 512)]).taskFile == 0x1051)
    }

    @Test("queued commands run together, and those that end together are told in one frame")
    func queued() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try AHCIRig([.disk(disk)])
        rig.start()
        for slot in 0..<32 {
            let buffer = rig.heap.place(pattern(4096, seed: slot), alignment: 4096)
            rig.prepare(
                AHCIRig.frame(0x61, block: UInt64(slot * 8), count: UInt16(slot << 3), features: 8), slot: slot,
                memory: [(buffer, 4096)], isWrite: true)
        }
        disk.verdict = { _ in .hold }
        rig.write(0, AHCIRig.Register.active, .max)
        rig.write(0, AHCIRig.Register.issue, .max)
        // The device has taken all, and works on them.
        #expect(rig.read(0, AHCIRig.Register.issue) == 0)
        #expect(rig.read(0, AHCIRig.Register.active) == .max)
        #expect(rig.interrupts.events[0].drain() == 0)
        disk.verdict = nil
        disk.queues[0].releaseHeld(reversed: true)
        #expect(rig.read(0, AHCIRig.Register.active) == 0)
        #expect(rig.interrupts.events[0].drain() == 1)
        #expect(rig.acknowledge() == 0x8)
        #expect(rig.heap.bytes(8, at: (rig.areas[0] ?? 0) + 0x58) == [0xa1, 0x40, 0x50, 0, 255, 255, 255, 255])
        for slot in 0..<32 {
            #expect(Array(disk.bytes[slot * 4096..<(slot + 1) * 4096]) == pattern(4096, seed: slot))
        }
        let buffer = rig.heap.allocate(4096, alignment: 4096)
        rig.prepare(AHCIRig.frame(0x60, block: 24, count: 7 << 3, features: 8), slot: 7, memory: [(buffer, 4096)])
        #expect(rig.issue(1 << 7, queued: true) == 0x8)
        #expect(rig.heap.bytes(4096, at: buffer) == pattern(4096, seed: 3))
    }

    @Test("a queued command that fails stops the others, and the log tells which it was")
    func queuedError() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try AHCIRig([.disk(disk)])
        rig.start()
        let buffer = rig.heap.allocate(4096, alignment: 4096)
        for slot in [2, 3, 4] {
            rig.prepare(
                AHCIRig.frame(0x60, block: UInt64(slot * 8), count: UInt16(slot << 3), features: 8), slot: slot,
                memory: [(buffer, 4096)])
        }
        disk.verdict = { $0.offset == 3 * 4096 ? .end(.failed) : .hold }
        rig.write(0, AHCIRig.Register.active, 0b11100)
        rig.write(0, AHCIRig.Register.issue, 0b11100)
        #expect(rig.read(0, AHCIRig.Register.taskFile) == 0x4041)
        #expect(rig.read(0, AHCIRig.Register.interruptStatus) == 0x4000_0008)
        #expect(rig.read(0, AHCIRig.Register.active) == 0b11100)
        // Until the driver stops the list, nothing more is taken.
        rig.prepare(AHCIRig.frame(0xec), slot: 0, memory: [(buffer, 512)])
        rig.write(0, AHCIRig.Register.issue, 1)
        #expect(rig.read(0, AHCIRig.Register.issue) == 1)
        rig.restart()
        #expect(rig.read(0, AHCIRig.Register.issue) == 0)
        #expect(rig.read(0, AHCIRig.Register.active) == 0)
        disk.verdict = nil
        let (answer, log) = rig.fetch(AHCIRig.frame(0x2f, block: 0x10, count: 1), count: 512)
        #expect(answer.taskFile == 0x50)
        try #require(log.count == 512)
        #expect(log[0] == 3)
        #expect(log[2...4] == [0x41, 0x40, 24])
        #expect(log.reduce(0, &+) == 0)
    }

    @Test("errors of the disk and of the driver end a command with the error register and an interrupt")
    func errors() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try AHCIRig([.disk(disk)])
        rig.start()
        let buffer = rig.heap.allocate(4096, alignment: 4096)
        let memory = [(buffer, 512)]
        func expect(_ frame: [UInt8], _ taskFile: UInt32, _ memory: [(UInt64, Int)], line: Int = #line) {
            #expect(rig.run(frame, memory: memory).taskFile == taskFile, "line \(line)")
            rig.restart()
        }
        expect(AHCIRig.frame(0x25, block: 2048, count: 1), 0x1051, memory)
        expect(AHCIRig.frame(0x25, block: 0xffff_ffff_ffff, count: 0), 0x8451, memory)
        expect(AHCIRig.frame(0x25, block: 0, count: 2), 0x8451, memory)
        expect(AHCIRig.frame(0x25, block: 0, count: 1), 0x8451, [(1 << 40, 512)])
        expect(AHCIRig.frame(0x77), 0x0451, [])
        expect(AHCIRig.frame(0xa1), 0x0451, memory)
        expect(AHCIRig.frame(0xef, features: 0x99), 0x0451, [])
        expect(AHCIRig.frame(0x42, block: 2040, count: 9), 0x1051, [])
        disk.verdict = { _ in .end(.failed) }
        expect(AHCIRig.frame(0x25, block: 0, count: 1), 0x4051, memory)
        disk.verdict = nil
        expect(AHCIRig.frame(0x25, block: 0, count: 1), 0x50, memory)
        expect(AHCIRig.frame(0x42, block: 2040, count: 8), 0x50, [])
        #expect(rig.log.lines == [])
    }

    @Test("a list or a table outside of memory stops the port with a bus error, which a restart mends")
    func busErrors() throws {
        let rig = try AHCIRig([.disk(MemoryBlockBackend(capacity: 1 << 20))])
        rig.start()
        rig.write(0, 4, 0x100)
        rig.write(0, AHCIRig.Register.issue, 1)
        #expect(rig.read(0, AHCIRig.Register.interruptStatus) & 0x2000_0000 != 0)
        rig.write(0, 4, 0)
        rig.restart()
        #expect(rig.run(AHCIRig.frame(0xea)) == Self.good)
    }

    @Test("settings, power commands and flushes do what they say")
    func otherCommands() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try AHCIRig([.disk(disk)])
        rig.start()
        disk.keepsLog = true
        #expect(rig.run(AHCIRig.frame(0xea)) == Self.good)
        #expect(rig.run(AHCIRig.frame(0xe7)) == Self.good)
        #expect(rig.run(AHCIRig.frame(0xef, count: 0x46, features: 0x03)) == Self.good)
        for opcode: UInt8 in [0xe0, 0xe1, 0xe2, 0xe3, 0xe6] { #expect(rig.run(AHCIRig.frame(opcode)) == Self.good) }
        #expect(rig.run(AHCIRig.frame(0xe5)).taskFile == 0x50)
        #expect(rig.heap.bytes(1, at: (rig.areas[0] ?? 0) + 0x40 + 12) == [0xff])
        #expect(disk.log == [.flush, .flush])
        // Without the write cache every write is durable.
        var options: [BlockOptions] = []
        disk.verdict = {
            options.append($0.options)
            return .carryOut
        }
        #expect(rig.run(AHCIRig.frame(0xef, features: 0x82)) == Self.good)
        let buffer = rig.heap.allocate(512)
        _ = rig.run(AHCIRig.frame(0x35, count: 1), memory: [(buffer, 512)], isWrite: true)
        #expect(rig.run(AHCIRig.frame(0xef, features: 0x02)) == Self.good)
        _ = rig.run(AHCIRig.frame(0x35, count: 1), memory: [(buffer, 512)], isWrite: true)
        #expect(options == [[], .durable, []])
    }

    @Test("trimmed ranges that continue one another are discarded together")
    func trim() throws {
        let disk = MemoryBlockBackend(capacity: 64 << 20)
        let rig = try AHCIRig([.disk(disk)])
        rig.start()
        var discarded: [[UInt64]] = []
        disk.verdict = {
            discarded.append([$0.offset / 512, $0.count / 512])
            return .carryOut
        }
        var list = [UInt8](repeating: 0, count: 512)
        for (index, (block, count)) in [(0, 0xffff), (0xffff, 100), (0, 0), (0x1_1000, 8)].enumerated() {
            let entry = UInt64(block) | UInt64(count) << 48
            for byte in 0..<8 { list[8 * index + byte] = UInt8(truncatingIfNeeded: entry >> (8 * byte)) }
        }
        let buffer = rig.heap.place(list)
        let answer = rig.run(AHCIRig.frame(0x06, count: 1, features: 1), memory: [(buffer, 512)], isWrite: true)
        #expect(answer.taskFile == 0x50)
        #expect(discarded == [[0, 0xffff + 100], [0x1_1000, 8]])
    }

    @Test("a reset of the link or by software makes the device tell what it is")
    func resets() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try AHCIRig([.disk(disk)])
        rig.start()
        // A command that the disk does not finish is given up.
        disk.verdict = { _ in .stall }
        let buffer = rig.heap.allocate(512)
        _ = rig.run(AHCIRig.frame(0x25, count: 1), memory: [(buffer, 512)])
        #expect(rig.read(0, AHCIRig.Register.taskFile) & 0x80 != 0)
        disk.verdict = nil
        rig.write(0, AHCIRig.Register.command, 0x10)
        #expect(rig.read(0, AHCIRig.Register.command) & 0x8000 == 0)
        rig.write(0, AHCIRig.Register.control, 0x301)
        #expect(rig.read(0, AHCIRig.Register.status) & 0xf == 1)
        #expect(rig.read(0, AHCIRig.Register.taskFile) == 0x7f)
        rig.write(0, AHCIRig.Register.control, 0x300)
        #expect(rig.read(0, AHCIRig.Register.status) == 0x133)
        #expect(rig.read(0, AHCIRig.Register.taskFile) == 0x150)
        #expect(rig.read(0, AHCIRig.Register.error) == 0x0401_0000)
        #expect(rig.read(0, AHCIRig.Register.interruptStatus) & 0x40 != 0)
        rig.write(0, AHCIRig.Register.error, .max)
        #expect(rig.read(0, AHCIRig.Register.interruptStatus) & 0x40 == 0)
        rig.restart()
        // Control frames: the bit set, then cleared.
        var frame = AHCIRig.frame(0)
        frame[1] = 0
        frame[15] = 4
        rig.prepare(frame)
        rig.issue(1)
        frame[15] = 0
        rig.prepare(frame)
        rig.issue(1)
        #expect(rig.read(0, AHCIRig.Register.issue) == 0)
        #expect(rig.read(0, AHCIRig.Register.taskFile) == 0x150)
        #expect(rig.read(0, AHCIRig.Register.signature) == 0x101)
        #expect(rig.run(AHCIRig.frame(0x25, count: 1), memory: [(buffer, 512)]).taskFile == 0x50)
    }

    @Test("without MSI the wire is up until the driver has seen everything")
    func wire() throws {
        let rig = try AHCIRig([.disk(MemoryBlockBackend(capacity: 1 << 20))])
        rig.start(messages: false)
        #expect(!rig.line.isRaised)
        rig.prepare(AHCIRig.frame(0xea))
        rig.write(0, AHCIRig.Register.issue, 1)
        #expect(rig.line.isRaised)
        #expect(rig.read(0x08) == 1)
        rig.write(0x04, 0x8000_0000)
        #expect(!rig.line.isRaised)
        rig.write(0x04, 0x8000_0002)
        #expect(rig.line.isRaised)
        rig.acknowledge()
        #expect(!rig.line.isRaised)
        #expect(rig.interrupts.events[0].drain() == 0)
    }

    @Test("a file behind the block engine holds what the guest wrote, served by threads", .timeLimit(.minutes(1)))
    func realFile() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/disk"
            let file = try Descriptor(opening: path, [.readWrite, .create, .truncate])
            #expect(ftruncate(file.raw, 4 << 20) == 0)
            let backend = try FileBlockBackend([.whole(try BlockFile(adopting: file, cached: nil, name: path))])
            let loop = try EventLoop(name: "io-0")
            try loop.start()
            let rig = try AHCIRig([.disk(backend)], loops: [loop])
            rig.start()
            for round in 0..<8 {
                var buffers: [UInt64] = []
                for slot in 0..<32 {
                    let buffer = rig.heap.place(pattern(4096, seed: round * 32 + slot), alignment: 4096)
                    buffers.append(buffer)
                    rig.prepare(
                        AHCIRig.frame(
                            0x61, block: UInt64((round * 32 + slot) * 8), count: UInt16(slot << 3), features: 8),
                        slot: slot, memory: [(buffer, 4096)], isWrite: true)
                }
                rig.issue(.max, queued: true)
            }
            #expect(rig.run(AHCIRig.frame(0xea)).taskFile == 0x50)
            for block in [0, 77, 255] {
                let (answer, bytes) = rig.fetch(AHCIRig.frame(0x25, block: UInt64(block * 8), count: 8), count: 4096)
                #expect(answer == AHCIRig.Answer(taskFile: 0x50, count: 4096))
                #expect(bytes == pattern(4096, seed: block))
            }
            rig.controller.close()
            loop.stop()
            let written = try Descriptor(opening: path, .readOnly)
            var bytes = [UInt8](repeating: 0, count: 4096)
            #expect(pread(written.raw, &bytes, bytes.count, 33 * 4096) == bytes.count)
            #expect(bytes == pattern(4096, seed: 33))
        }
    }
}
