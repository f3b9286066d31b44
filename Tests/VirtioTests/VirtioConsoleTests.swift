import DeviceModel
import GuestMemory
import Synchronization
import Testing
import Virtio
import VirtioTestSupport

@Suite("Console device")
struct VirtioConsoleTests {
    final class Terminal: CharacterBackend {
        private let written = Mutex<[UInt8]>([])
        private let other = Mutex<(any CharacterReceiver)?>(nil)
        private let room = Mutex(0)
        func transmit(_ bytes: Span<UInt8>) {
            written.withLock { for index in bytes.indices { $0.append(bytes[index]) } }
        }
        func setReceiver(_ receiver: (any CharacterReceiver)?) { other.withLock { $0 = receiver } }
        func receiverHasRoom() { room.withLock { $0 += 1 } }

        var output: [UInt8] { written.withLock { $0 } }
        var roomSignals: Int { room.withLock { $0 } }
        var isConnected: Bool { other.withLock { $0 != nil } }
        func type(_ bytes: [UInt8]) -> Int { other.withLock { $0?.receive(bytes.span) ?? 0 } }
    }

    let terminal = Terminal()

    func rig() throws -> DeviceRig {
        try DeviceRig { try VirtioConsole(ram: $0.ram, loop: nil, backend: terminal, columns: 132, rows: 43) }
    }

    @Test("what the guest writes reaches the terminal in order")
    func transmits() throws {
        let rig = try rig()
        let rings = rig.start([], queues: 2)
        _ = rings[1].offer([
            Buffer(rig.heap.place(Array("hello ".utf8)), 6, writable: false),
            Buffer(rig.heap.place(Array("world".utf8)), 5, writable: false),
        ])
        _ = rings[1].offer([Buffer(rig.heap.place([33]), 1, writable: false)])
        rig.kick(1)
        #expect(terminal.output == Array("hello world!".utf8))
        #expect(rings[1].collect().map(\.written) == [0, 0])
    }

    @Test("what is typed waits for the guest's buffers, and the terminal is held back when too much waits")
    func receives() throws {
        let rig = try rig()
        #expect(terminal.type([1, 2, 3]) == 3, "kept until the driver is there")
        let rings = rig.start([.packedRing], queues: 2)
        let buffer = rig.heap.allocate(8192)
        _ = rings[0].offer([Buffer(buffer, 2, writable: true)])
        rig.kick(0)
        #expect(rings[0].collect().map(\.written) == [2])
        #expect(rig.heap.bytes(2, at: buffer) == [1, 2])
        let much = (0..<5000).map { UInt8(truncatingIfNeeded: $0) }
        #expect(terminal.type(much) == 4095)
        #expect(terminal.type([1]) == 0)
        #expect(terminal.roomSignals == 0)
        rig.serve()
        _ = rings[0].offer([Buffer(buffer, 8192, writable: true)])
        rig.kick(0)
        #expect(rings[0].collect().map(\.written) == [4096])
        #expect(rig.heap.bytes(4096, at: buffer) == [3] + much.prefix(4095))
        #expect(terminal.roomSignals == 1)
        #expect(terminal.type([7]) == 1)
        _ = rings[0].offer([Buffer(buffer, 4, writable: false)])
        _ = rings[0].offer([Buffer(buffer, 4, writable: true)])
        rig.kick(0)
        #expect(rings[0].collect().map(\.written) == [0, 1], "a buffer that holds nothing comes back empty")
    }

    @Test("size and emergency writes go through the configuration; a reset forgets what was typed")
    func configuration() throws {
        let rig = try rig()
        let base = VirtioDriver.Register.configuration
        #expect(rig.driver.read(base, 2) == 132)
        #expect(rig.driver.read(base + 2, 2) == 43)
        #expect(rig.driver.read(base + 4, 4) == 1)
        rig.driver.write(base + 8, 4, 0x41)
        #expect(terminal.output == [0x41])
        (rig.device as? VirtioConsole)?.setSize(columns: 80, rows: 24)
        #expect(rig.driver.read(base, 4) == 24 << 16 | 80)
        _ = rig.start([], queues: 2)
        #expect(terminal.type([1, 2]) == 2)
        rig.driver.status = 0
        let rings = rig.start([], queues: 2)
        _ = rings[0].offer([Buffer(0x1000, 4, writable: true)])
        rig.kick(0)
        #expect(rings[0].collect().isEmpty)
        rig.function.close()
        #expect(!terminal.isConnected)
    }
}
