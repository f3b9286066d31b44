import Bytes
import DeviceModel
import GuestMemory
import Linux
import Testing
import Virtio
import VirtioTestSupport

@Suite("Virtio over PCI")
struct VirtioPCIFunctionTests {
    typealias Register = VirtioDriver.Register

    /// A machine's bus with one function plugged in.
    struct Bus {
        let memory = AddressSpace.memory()
        let ports = AddressSpace.ports()
        let wires = (0..<8).map { _ in TestLine() }
        let root: PCIRoot
        let view: BusView
        let place: PCIAddress
        let ecam: UInt64 = 0xb000_0000

        init(_ function: PCIFunction) throws {
            root = PCIRoot(
                ports: ports, memory: memory,
                windows: PCIWindows(
                    ports: 0xc000...0xcfff, memory32: 0xc000_0000...0xc0ff_ffff,
                    memory64: 0x2_0000_0000...0x2_ffff_ffff),
                interruptLines: wires.map { SharedInterruptLine($0) })
            try memory.map(root, region: PCIRoot.ecamRegion, at: ecam, count: 256 << 20)
            view = BusView(memory)
            place = try root.plug(function)
        }

        func read(_ register: Int, _ width: Int) -> UInt64 {
            view.read(ecam + UInt64(place.routing) << 12 + UInt64(register), width: width)
        }
        func write(_ register: Int, _ width: Int, _ value: UInt64) {
            view.write(ecam + UInt64(place.routing) << 12 + UInt64(register), width: width, value: value)
        }

        /// The vendor capabilities by type: where in the configuration space.
        var capabilities: [UInt64: Int] {
            var found: [UInt64: Int] = [:]
            var next = Int(read(0x34, 1))
            while next != 0 {
                if read(next, 1) == 9 { found[read(next + 3, 1)] = next }
                next = Int(read(next + 1, 1))
            }
            return found
        }

        /// What the notification capabilities say, in order.
        var notifications: [[UInt64]] {
            var found: [[UInt64]] = []
            var next = Int(read(0x34, 1))
            while next != 0 {
                if read(next, 1) == 9 && read(next + 3, 1) == 2 {
                    found.append([read(next + 4, 1), read(next + 8, 4), read(next + 12, 4), read(next + 16, 4)])
                }
                next = Int(read(next + 1, 1))
            }
            return found
        }

        var enableMSIX: (Int, UInt64) {
            var next = Int(read(0x34, 1))
            while next != 0, read(next, 1) != 0x11 { next = Int(read(next + 1, 1)) }
            return (next, 0x8000)
        }
    }

    @Test("a driver finds identity and structures where the capabilities say")
    func identity() throws {
        let machine = try EchoMachine()
        let bus = try Bus(machine.function)
        #expect(bus.read(0, 4) == 0x1044_1af4)
        #expect(bus.read(8, 4) == 0x00ff_0001)
        #expect(bus.read(0x2c, 4) == 0x1100_1af4)
        let capabilities = bus.capabilities
        #expect(Set(capabilities.keys) == [1, 2, 3, 4, 5])
        let places: [(type: UInt64, offset: UInt64, length: UInt64)] = [
            (1, 0, 16), (3, 0x1000, 16), (4, 0x2000, 16), (2, 0x3000, 20), (5, 0, 20),
        ]
        for (type, offset, length) in places {
            let capability = try #require(capabilities[type])
            #expect(bus.read(capability + 2, 1) == length)
            #expect(bus.read(capability + 8, 4) == offset)
            if type != 5 { #expect(bus.read(capability + 4, 1) == 4) }
        }
        #expect(bus.read(try #require(capabilities[2]) + 16, 4) == 4)
    }

    @Test("features: both halves are offered, other selections read zero, and the choice is checked")
    func features() throws {
        let machine = try EchoMachine(features: VirtioFeatures(bit: 5))
        let driver = machine.driver
        #expect(driver.offered == machine.device.features)
        #expect(driver.offered.isSuperset(of: [.version1, .packedRing, .indirectDescriptors, VirtioFeatures(bit: 5)]))
        driver.write(Register.offeredSelect, 4, 2)
        #expect(driver.read(Register.offered, 4) == 0)
        #expect(driver.read(Register.offeredSelect, 4) == 2)

        #expect(driver.negotiate([.eventIndex]))
        driver.write(Register.acceptedSelect, 4, 0)
        driver.write(Register.accepted, 4, 0)
        #expect(driver.read(Register.accepted, 4) == VirtioFeatures.eventIndex.rawValue, "settled")
        #expect(!driver.negotiate(VirtioFeatures(bit: 6)), "not offered")
        #expect(driver.status == 3)
        machine.device.refused = VirtioFeatures(bit: 5)
        #expect(!driver.negotiate(VirtioFeatures(bit: 5)), "the device cannot")

        driver.status = 0
        driver.status = 3
        driver.write(Register.acceptedSelect, 4, 7)
        driver.write(Register.accepted, 4, .max)
        driver.status = 0xb
        #expect(driver.status == 3, "VERSION_1 is missing")
        driver.status = 0xf
        #expect(driver.status == 3, "not ready without features")
        #expect(machine.device.events == [])
    }

    @Test("queue registers: what is fixed when, and what does not exist")
    func queueRegisters() throws {
        let machine = try EchoMachine(queues: 2, sizeMax: 64)
        let driver = machine.driver
        driver.negotiate([])
        #expect(driver.read(Register.queueCount, 2) == 2)
        driver.write(Register.queueSelect, 2, 2)
        #expect(driver.read(Register.queueSize, 2) == 0)
        driver.write(Register.queueEnable, 2, 1)
        #expect(driver.read(Register.queueEnable, 2) == 0)

        driver.write(Register.queueSelect, 2, 1)
        #expect(driver.read(Register.notifyOffset, 2) == 1)
        for (written, read) in [(UInt64(128), UInt64(64)), (0, 64), (48, 64), (32, 32)] {
            driver.write(Register.queueSize, 2, written)
            #expect(driver.read(Register.queueSize, 2) == read)
        }
        driver.write(Register.queueVector, 2, 9)
        #expect(driver.read(Register.queueVector, 2) == 0xffff, "no such vector")
        driver.write(Register.queueVector, 2, 2)
        #expect(driver.read(Register.queueVector, 2) == 2)
        driver.write(Register.descriptors, 8, 0x1_0000_2000)
        #expect(driver.read(Register.descriptors + 4, 4) == 1)
        #expect(driver.read(Register.descriptors, 8) == 0x1_0000_2000)
        driver.write(Register.descriptors + 4, 4, 0)
        driver.write(Register.driver, 4, 0x3000)
        driver.write(Register.device, 4, 0x4000)
        #expect(driver.read(Register.descriptors + 2, 1) == 0, "odd accesses read what is there")
        driver.write(Register.queueEnable, 2, 1)
        #expect(driver.read(Register.queueEnable, 2) == 1)
        driver.write(Register.queueSize, 2, 16)
        driver.write(Register.driver, 4, 0x5000)
        driver.write(Register.queueEnable, 2, 0)
        #expect(driver.read(Register.queueSize, 2) == 32)
        #expect(driver.read(Register.driver, 4) == 0x3000)
        #expect(driver.read(Register.queueEnable, 2) == 1)
        driver.start()
        driver.write(Register.queueSelect, 2, 0)
        driver.write(Register.queueSize, 2, 16)
        #expect(driver.read(Register.queueSize, 2) == 64, "too late")
        driver.status = 0
        driver.write(Register.queueSelect, 2, 1)
        #expect(driver.read(Register.queueSize, 2) == 64)
        #expect(driver.read(Register.queueEnable, 2) == 0)
        #expect(driver.read(Register.queueVector, 2) == 0xffff)
    }

    @Test("a queue that cannot be, and a ring that makes no sense, end in one log line and a wish for reset")
    func needsReset() throws {
        let machine = try EchoMachine(messages: false)
        let bus = try Bus(machine.function)
        let driver = machine.driver
        driver.negotiate([])
        driver.enableQueue(0, RingPlaces(size: 16, descriptors: 0x1001, driver: 0x2000, device: 0x3000))
        #expect(driver.status == 0x4b)
        #expect(machine.log.lines.count == 1)

        let ring = try #require(machine.start([]) as? SplitDriver)
        #expect(driver.status == 0xf)
        ring.offer(head: 99)
        machine.queues[0].process()
        machine.queues[0].process()
        #expect(driver.status == 0x4f)
        #expect(
            machine.log.lines.last
                == "virtio-rng: the driver must reset the device: queue 0: descriptor 99 does not exist")
        #expect(machine.log.lines.count == 2)
        #expect(bus.wires.contains { $0.isRaised })
        #expect(driver.read(Register.interruptStatus, 1) == 2, "a configuration interrupt")
        #expect(!bus.wires.contains { $0.isRaised })
        #expect(driver.read(Register.interruptStatus, 1) == 0)

        _ = machine.start([])
        #expect(driver.status == 0xf)
        #expect(machine.device.events == ["activate", "reset", "activate"])
    }

    @Test("INTx until the driver turns MSI-X on; then each queue has the vector it was given")
    func interrupts() throws {
        let machine = try EchoMachine()
        let bus = try Bus(machine.function)
        let ring = machine.start([])
        func request() {
            _ = ring.offer([Buffer(0x1000, 4, writable: true)])
            machine.queues[0].process()
            _ = ring.collect()
        }
        request()
        #expect(machine.queues[0].interruptDescriptor == nil)
        #expect(bus.wires.contains { $0.isRaised })
        #expect(machine.driver.read(Register.interruptStatus, 1) == 1)

        let (capability, on) = bus.enableMSIX
        bus.write(capability + 2, 2, on)
        #expect(machine.queues[0].interruptDescriptor == machine.interrupts.events[0].raw)
        request()
        #expect(machine.interrupts.events[0].drain() == 1)
        #expect(!bus.wires.contains { $0.isRaised })
        machine.driver.write(Register.queueSelect, 2, 0)
        machine.driver.write(Register.queueVector, 2, 2)
        request()
        #expect(machine.interrupts.events[2].drain() == 1)
        machine.driver.write(Register.queueVector, 2, 0xffff)
        request()
        #expect(machine.interrupts.events.allSatisfy { !$0.isSignalled })
        #expect(machine.queues[0].interruptDescriptor == nil)

        machine.driver.write(Register.configurationVector, 2, 1)
        machine.device.updateConfiguration {}
        #expect(machine.interrupts.events[1].drain() == 1)
        bus.write(capability + 2, 2, 0)
        machine.device.updateConfiguration {}
        #expect(machine.driver.read(Register.interruptStatus, 1) == 2)
    }

    @Test(
        "doorbells in memory and in ports are bound while a queue runs, follow their BARs, and work without being bound"
    )
    func doorbells() throws {
        let machine = try EchoMachine()
        let bus = try Bus(machine.function)
        let memory = bus.read(0x20, 8) & ~0xf
        let port = UInt16(bus.read(0x10, 4) & ~3)
        #expect(machine.binder.places == [])
        _ = machine.start([])
        #expect(machine.binder.places == [.memory(memory + 0x3000), .port(port)], "only the queue that runs")
        bus.write(4, 2, 1)
        #expect(machine.binder.places == [.port(port)])
        bus.write(4, 2, 0)
        #expect(machine.binder.places == [])
        bus.write(0x20, 4, 0x1000_0000)
        bus.write(0x24, 4, 2)
        bus.write(0x10, 4, 0xc800)
        bus.write(4, 2, 3)
        #expect(machine.binder.places == [.memory(0x2_1000_3000), .port(0xc800)])
        machine.queues[0].doorbell.drain()
        machine.driver.kick(0)
        #expect(machine.queues[0].doorbell.drain() == 1)
        BusView(bus.ports).write(0xc800, width: 2, value: 0)
        #expect(machine.queues[0].doorbell.isSignalled)
        machine.driver.write(Register.doorbells + 0xffc, 4, 0)
        BusView(bus.ports).write(0xc80e, width: 2, value: 0)
        #expect(BusView(bus.ports).read(0xc800, width: 2) == 0)
        machine.driver.status = 0
        #expect(machine.binder.places == [])
        #expect(!machine.queues[0].doorbell.isSignalled)
    }

    @Test("a driver finds the doorbells that are ports first, and a device with very many queues has none of these")
    func doorbellCapabilities() throws {
        let bus = try Bus(try EchoMachine(queues: 9).function)
        // BAR, offset, length, multiplier.
        #expect(bus.notifications == [[0, 0, 64, 4], [4, 0x3000, 0x1000, 4]])
        #expect(try Bus(try EchoMachine(queues: 65).function).notifications == [[4, 0x3000, 0x1000, 4]])
    }

    @Test("the device's configuration is read and written through its window; changes show in the generation")
    func configuration() throws {
        let machine = try EchoMachine()
        let driver = machine.driver
        #expect(driver.read(Register.configuration + 2, 4) == 0x0605_0403)
        #expect(driver.read(Register.configuration + 6, 4) == 0xffff_ffff)
        driver.write(Register.configuration, 1, 0x77)
        #expect(driver.read(Register.configuration, 1) == 0x77)
        let before = driver.read(Register.generation, 1)
        machine.device.updateConfiguration { machine.device.configuration[1] = 9 }
        #expect(driver.read(Register.generation, 1) == before + 1)
    }

    @Test("all registers can be reached through the configuration space alone")
    func configurationAccess() throws {
        let machine = try EchoMachine()
        let bus = try Bus(machine.function)
        let capability = try #require(bus.capabilities[5])
        func select(_ offset: UInt64, _ width: UInt64, bar: UInt64 = 4) {
            bus.write(capability + 4, 1, bar)
            bus.write(capability + 8, 4, offset)
            bus.write(capability + 12, 4, width)
        }
        select(Register.status, 1)
        bus.write(capability + 16, 1, 3)
        #expect(machine.driver.status == 3)
        #expect(bus.read(capability + 16, 1) == 3)
        #expect(bus.read(capability + 16, 4) == 3)
        select(Register.queueCount, 2)
        #expect(bus.read(capability + 16, 2) == 2)
        select(Register.doorbells, 4)
        bus.write(capability + 16, 4, 0)
        #expect(machine.queues[0].doorbell.isSignalled)
        for (offset, width, bar) in [(UInt64(0x4000), UInt64(4), UInt64(4)), (0, 3, 4), (1, 2, 4), (0, 4, 0)] {
            select(offset, width, bar: bar)
            bus.write(capability + 16, 4, 0)
            _ = bus.read(capability + 16, 4)
        }
        #expect(machine.driver.status == 3)
    }

    @Test("one queue can be reset and set up anew while the device runs", arguments: VirtQueueTests.kinds)
    func queueReset(features: VirtioFeatures) throws {
        let machine = try EchoMachine()
        let driver = machine.driver
        _ = machine.start(features.union(.ringReset))
        driver.write(Register.queueSelect, 2, 0)
        driver.write(Register.queueReset, 2, 1)
        #expect(driver.read(Register.queueReset, 2) == 0)
        #expect(driver.read(Register.queueEnable, 2) == 0)
        #expect(driver.read(Register.queueSize, 2) == 64)
        #expect(!machine.queues[0].isRunning)
        let ring = driver.setUpQueue(0, size: 8)
        #expect(machine.queues[0].isRunning)
        _ = ring.offer([Buffer(0x1000, 4, writable: true)])
        machine.queues[0].process()
        #expect(ring.collect().count == 1)
        #expect(machine.device.events == ["activate"])
    }

    @Test("paused queues serve nothing and lose nothing; a closed device stays silent")
    func pauseAndClose() throws {
        let machine = try EchoMachine()
        let ring = machine.start([])
        machine.function.pause()
        #expect(!machine.queues[0].isRunning)
        _ = ring.offer([Buffer(0x1000, 4, writable: true)])
        machine.driver.kick(0)
        machine.queues[0].ready(.readable)
        #expect(ring.collect().isEmpty)
        machine.function.resume()
        #expect(ring.collect().count == 1)
        machine.function.close()
        machine.function.close()
        #expect(machine.device.events == ["activate", "pause", "resume", "close"])
        machine.driver.negotiate([])
        machine.driver.start()
        #expect(!machine.queues[0].isRunning)
    }

    @Test("any access to any register at any time is answered", arguments: 0..<4)
    func randomAccesses(seed: Int) throws {
        let machine = try EchoMachine(messages: seed & 1 == 0)
        let bus = try Bus(machine.function)
        var random = SplitMix64(seed: UInt64(seed))
        let widths = [1, 2, 4, 8]
        for step in 0..<20_000 {
            // Mostly the common structure, and mostly values that make sense there.
            let offset = random.next() % (step % 4 == 0 ? 0x4100 : 0x40)
            let width = widths[Int(random.next() % 4)]
            let value = random.next() & (random.next() & 1 == 0 ? 0x0f : .max)
            switch random.next() % 4 {
            case 0: _ = machine.driver.read(offset, width)
            case 1: bus.write(Int(offset & 0xff), width, value)
            default: machine.driver.write(offset & ~UInt64(width - 1), width, value)
            }
            if step % 64 == 0 { for queue in machine.queues { queue.ready(.readable) } }
            if step % 512 == 0 { _ = machine.start([]) }
        }
        #expect(machine.driver.negotiate([]))
    }
}
