import CLinux
import GuestMemory
import Linux
import Testing
import VirtioTestSupport

@testable import Virtio

private let kernelUnavailable: String? = {
    do {
        _ = try VhostDevice(VhostDevice.vsockPath)
        return nil
    } catch {
        return "\(error)"
    }
}()

@Suite("virtio-vsock")
struct SocketTests {
    /// A packet's header (virtio 1.2, section 5.10.6).
    struct Header {
        var sourceIdentifier: UInt64 = 0
        var targetIdentifier: UInt64 = 0
        var sourcePort: UInt32 = 0
        var targetPort: UInt32 = 0
        var kind: UInt16 = 1
        var operation: UInt16 = 0

        static let size = 44

        init() {}

        init(_ ram: GuestRAM, at address: GuestAddress) {
            sourceIdentifier = ram.load(UInt64.self, at: address) ?? 0
            targetIdentifier = ram.load(UInt64.self, at: address + 8) ?? 0
            sourcePort = ram.load(UInt32.self, at: address + 16) ?? 0
            targetPort = ram.load(UInt32.self, at: address + 20) ?? 0
            kind = ram.load(UInt16.self, at: address + 28) ?? 0
            operation = ram.load(UInt16.self, at: address + 30) ?? 0
        }

        func store(_ ram: GuestRAM, at address: GuestAddress) {
            ram.store(sourceIdentifier, at: address)
            ram.store(targetIdentifier, at: address + 8)
            ram.store(sourcePort, at: address + 16)
            ram.store(targetPort, at: address + 20)
            ram.store(kind, at: address + 28)
            ram.store(operation, at: address + 30)
        }
    }

    /// Waits for a descriptor, ten seconds at most.
    func wait(_ descriptor: CInt, for events: Int32) -> Bool {
        var poll = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        return CLinux.poll(&poll, 1, 10_000) == 1
    }

    /// Begins to connect to a guest's port, without waiting.
    func connect(to identifier: UInt32, port: UInt32) throws -> Descriptor {
        let vsock: CInt = 40  // AF_VSOCK
        let kind = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let socket = Descriptor(adopting: try retrying("make socket") { CLinux.socket(vsock, kind, 0) })
        // struct sockaddr_vm: family, reserved, port, identifier, flags.
        var address: [UInt32] = [UInt32(vsock), port, identifier, 0]
        let raw = socket.raw
        let result = address.withUnsafeMutableBytes {
            CLinux.connect(raw, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), 16)
        }
        #expect(result == -1 && wafer_errno() == EINPROGRESS)
        return socket
    }

    @Test(
        "a host's connection reaches the guest and its answer the host, also after a reset",
        .enabled(if: kernelUnavailable == nil, Comment(rawValue: kernelUnavailable ?? "")), .timeLimit(.minutes(1)))
    func connection() throws {
        let identifier: UInt32 = 4242
        let memory = try GuestMemory(count: 4 << 20)
        let loops = try ["vsock", "control"].map { try EventLoop(name: $0) }
        for loop in loops { try loop.start() }
        let log = Log()
        let device = try VirtioSocket(
            identifier: identifier, memory: memory, loop: loops[0], kernel: VhostDevice(VhostDevice.vsockPath),
            log: { log.add($0) })
        #expect(throws: SystemError.self, "the identifier is taken") {
            try VirtioSocket(
                identifier: identifier, memory: memory, loop: loops[0], kernel: VhostDevice(VhostDevice.vsockPath))
        }
        let wire = EventWire()
        let function = VirtioPCIFunction(
            device, interrupts: nil, binder: nil, control: loops[1], log: { log.add($0) })
        let driver = VirtioDriver(function, GuestHeap(memory))
        let bus = try plugged(function, wire)
        for _ in 0..<2 {
            driver.negotiate([.eventIndex])
            #expect(driver.read(VirtioDriver.Register.configuration, 8) == UInt64(identifier))
            let receive = driver.setUpQueue(0, size: 16)
            let transmit = driver.setUpQueue(1, size: 16)
            _ = driver.setUpQueue(2, size: 16)
            driver.start()
            let place = driver.heap.allocate(4096)
            _ = receive.offer([
                Buffer(place, Header.size, writable: true), Buffer(place + 64, 4000, writable: true),
            ])
            driver.kick(0)

            let socket = try connect(to: identifier, port: 1234)
            let event = try #require(wire.event)
            var completions: [Completion] = []
            while completions.isEmpty {
                try #require(wait(event.raw, for: POLLIN))
                event.drain()
                _ = driver.read(VirtioDriver.Register.interruptStatus, 1)
                completions = receive.collect()
            }
            let request = Header(memory.ram, at: place)
            #expect(completions.map(\.written) == [UInt32(Header.size)])
            #expect(request.targetIdentifier == UInt64(identifier))
            #expect(request.targetPort == 1234)
            #expect(request.sourceIdentifier == 2)
            #expect(request.operation == 1, "a request")

            var answer = Header()
            answer.sourceIdentifier = UInt64(identifier)
            answer.targetIdentifier = 2
            answer.sourcePort = 1234
            answer.targetPort = request.sourcePort
            answer.operation = 3  // reset
            let reply = driver.heap.allocate(Header.size)
            answer.store(memory.ram, at: reply)
            _ = transmit.offer([Buffer(reply, Header.size, writable: false)])
            driver.kick(1)
            #expect(wait(socket.raw, for: POLLOUT), "refused, which ends the wait")
            driver.status = 0
        }
        function.close()
        for loop in loops.reversed() { loop.stop() }
        #expect(log.lines == [])
        _ = bus
    }

    @Test("the guest learns that its connections are gone once it has a buffer for that")
    func transportReset() throws {
        let memory = try GuestMemory(count: 1 << 20)
        let queue = try SocketEventQueue(index: 0, sizeMax: 16, ram: memory.ram, loop: nil)
        let device = VirtioDevice(.socket, features: [], queues: [queue])
        let function = VirtioPCIFunction(device, interrupts: nil, binder: nil, control: nil, log: { _ in })
        let driver = VirtioDriver(function, GuestHeap(memory))
        driver.negotiate([])
        let ring = driver.setUpQueue(0, size: 16)
        driver.start()
        queue.resetTransport()
        let place = driver.heap.place([9, 9, 9, 9])
        _ = ring.offer([Buffer(place, 4, writable: true)])
        queue.process()
        #expect(ring.collect().map(\.written) == [4])
        #expect(driver.heap.bytes(4, at: place) == [0, 0, 0, 0])
        _ = ring.offer([Buffer(place, 4, writable: true)])
        queue.process()
        #expect(ring.collect().isEmpty, "told once")
        function.close()
    }
}
