import Linux
import NetEngine
import NetTestSupport
import Testing
import Virtio
import VirtioTestSupport

@Suite("virtio-net configuration and control queue")
struct NetControlTests {
    /// Frames that reach the guest, told apart by their length.
    func arriving(_ machine: NetMachine, _ frames: [[UInt8]]) -> [Int] {
        for frame in frames {
            machine.offerBuffer([2048])
            machine.peers[0].send(frame)
        }
        machine.serve(0)
        return machine.collect().map(\.frame.count)
    }

    let group = MACAddress(0x01, 0x00, 0x5e, 0, 0, 5)

    @Test("the driver reads address, link, pairs, MTU and speed")
    func configuration() throws {
        var settings = VirtioNet.Settings(address: NetMachine.address)
        settings.mtu = 9000
        settings.speed = 25_000
        let machine = try NetMachine(pairs: 3, settings: settings)
        let base = VirtioDriver.Register.configuration
        #expect(machine.driver.read(base, 4) == 0x0129_0c00)
        #expect(machine.driver.read(base + 4, 2) == 0x0302)
        #expect(machine.driver.read(base + 6, 2) == 1)
        #expect(machine.driver.read(base + 8, 2) == 3)
        #expect(machine.driver.read(base + 10, 2) == 9000)
        #expect(machine.driver.read(base + 12, 4) == 25_000)
        #expect(machine.driver.read(base + 16, 1) == 1)
        #expect(machine.driver.read(base + 17, 1) == 0xff)
        let offered = machine.driver.offered
        #expect(offered.isSuperset(of: [.netMTU, .netMultiQueue, .netMergeableBuffers, .netSpeed, .version1]))
        #expect(offered.isSuperset(of: VirtioFeatures.guestOffloads.union(.hostOffloads).union(.controls)))
    }

    @Test("what the back end cannot do is not offered")
    func plainBackend() throws {
        let machine = try NetMachine(offloads: [])
        let offered = machine.driver.offered
        #expect(offered.isDisjoint(with: VirtioFeatures.guestOffloads.union(.hostOffloads)))
        #expect(offered.isDisjoint(with: [.netMultiQueue, .netMTU, .netControlOffloads]))
    }

    @Test("the receive mode and the lists decide what arrives", arguments: RingKind.all)
    func filters(kind: RingKind) throws {
        let machine = try NetMachine(kind: kind)
        machine.start(.controls, size: 64)
        let frames = [
            NetMachine.frame(60), NetMachine.frame(to: NetMachine.other, 61), NetMachine.frame(to: group, 62),
            NetMachine.frame(to: .broadcast, 63),
        ]
        #expect(arriving(machine, frames) == [60, 61, 62, 63], "promiscuous at first")
        #expect(machine.command(0, 0, [0]) == 0)
        #expect(arriving(machine, frames) == [60, 63])
        #expect(machine.command(0, 1, [1]) == 0)
        #expect(arriving(machine, frames) == [60, 62, 63])
        #expect(machine.command(0, 1, [0]) == 0)
        let table = [1, 0, 0, 0] + NetMachine.other.bytes + [1, 0, 0, 0] + group.bytes
        #expect(machine.command(1, 0, table) == 0)
        #expect(arriving(machine, frames) == [60, 61, 62, 63])
        #expect(machine.command(1, 0, [0, 0, 0, 0, 0, 0, 0, 0]) == 0)
        #expect(arriving(machine, frames) == [60, 63])
        #expect(machine.net.statistics.received.drops == 5)
    }

    @Test("a list with more addresses than fit lets that kind pass")
    func overflow() throws {
        let machine = try NetMachine()
        machine.start(.controls)
        #expect(machine.command(0, 0, [0]) == 0)
        var table: [UInt8] = [0, 0, 0, 0, 65, 0, 0, 0]
        for index: UInt8 in 0..<65 { table += [1, 0, 0x5e, 1, 1, index] }
        #expect(machine.command(1, 0, table) == 0)
        let frames = [NetMachine.frame(to: group, 62), NetMachine.frame(to: NetMachine.other, 61)]
        #expect(arriving(machine, frames) == [62])
    }

    @Test("VLANs are filtered once that was negotiated")
    func vlans() throws {
        let machine = try NetMachine()
        machine.start(.controls)
        #expect(machine.command(0, 0, [0]) == 0)
        let frames = [NetMachine.frame(70, vlan: 7), NetMachine.frame(71, vlan: 8), NetMachine.frame(72)]
        #expect(arriving(machine, frames) == [72])
        #expect(machine.command(2, 0, [7, 0]) == 0)
        #expect(arriving(machine, frames) == [70, 72])
        #expect(machine.command(2, 1, [7, 0]) == 0)
        #expect(arriving(machine, frames) == [72])

        let plain = try NetMachine()
        plain.start([.netControlQueue, .netControlReceive])
        #expect(plain.command(0, 0, [0]) == 0)
        #expect(plain.command(2, 0, [7, 0]) == 1)
        #expect(arriving(plain, frames) == [70, 71, 72])
    }

    @Test("a new address is the card's until it is reset")
    func address() throws {
        let machine = try NetMachine()
        machine.start(.controls)
        #expect(machine.command(0, 0, [0]) == 0)
        #expect(machine.command(1, 1, NetMachine.other.bytes) == 0)
        #expect(machine.net.address == NetMachine.other)
        let frames = [NetMachine.frame(60), NetMachine.frame(to: NetMachine.other, 61)]
        #expect(arriving(machine, frames) == [61])
        #expect(machine.command(1, 1, group.bytes) == 1, "a group's address")
        #expect(machine.net.address == NetMachine.other)
        machine.driver.status = 0
        #expect(machine.net.address == NetMachine.address)
    }

    @Test("commands that are short, unknown, out of range or not negotiated fail and change nothing")
    func refused() throws {
        let machine = try NetMachine()
        machine.start(.controls)
        #expect(machine.command(0, 0, [0]) == 0)
        #expect(machine.command(0, 0, [2]) == 1)
        #expect(machine.command(0, 0) == 1)
        #expect(machine.command(0, 2, [1]) == 1)
        #expect(machine.command(1, 0, [255, 255, 255, 255]) == 1)
        #expect(machine.command(1, 0, [1, 0, 0, 0, 1, 2, 3]) == 1)
        #expect(machine.command(1, 1, [1, 2, 3]) == 1)
        #expect(machine.command(1, 2, []) == 1)
        #expect(machine.command(2, 0, [0xff, 0xff]) == 1)
        #expect(machine.command(2, 0, [1]) == 1)
        #expect(machine.command(3, 0) == 1)
        #expect(machine.command(4, 0, [1, 0]) == 1)
        #expect(machine.command(5, 0, [0, 0, 0, 0, 0, 0, 0, 0]) == 1)
        #expect(machine.command(200, 0, [1]) == 1)
        let frames = [NetMachine.frame(60), NetMachine.frame(to: NetMachine.other, 61)]
        #expect(arriving(machine, frames) == [60])
    }

    @Test("a command without room for the answer is given back")
    func noAnswer() throws {
        let machine = try NetMachine()
        machine.start(.controls)
        let control = try #require(machine.control)
        _ = control.offer([Buffer(machine.heap.place([0, 0, 0]), 3, writable: false)])
        _ = control.offer([Buffer(machine.heap.allocate(8), 8, writable: true)])
        machine.kick(machine.controlIndex, control)
        #expect(control.collect().map(\.written) == [0, 1])
        #expect(machine.driver.status & 0x40 == 0)
    }

    @Test("offloads can be switched, within what was negotiated")
    func offloads() throws {
        let machine = try NetMachine()
        machine.start([.netControlQueue, .netControlOffloads, .netGuestChecksum, .netGuestTCP4])
        #expect(machine.command(5, 0, [0x82, 0, 0, 0, 0, 0, 0, 0]) == 0)
        #expect(machine.command(5, 0, [0, 0, 0, 0, 0, 0, 0, 0]) == 0)
        #expect(machine.command(5, 0, [0, 1, 0, 0, 0, 0, 0, 0]) == 1, "TCP over IPv6 was not negotiated")
        #expect(machine.command(5, 0, [1, 0, 0, 0, 0, 0, 0, 0]) == 1, "not a guest offload")
    }

    @Test("several pairs carry packets of their own, as many as the driver asks for")
    func multiQueue() throws {
        let machine = try NetMachine(pairs: 3)
        machine.start([.netControlQueue, .netMultiQueue], pairs: 3)
        #expect(machine.controlIndex == 6)
        #expect(machine.net.activePairs == 1)
        #expect(machine.command(4, 0, [3, 0]) == 0)
        #expect(machine.net.activePairs == 3)
        #expect(machine.command(4, 0, [0, 0]) == 1)
        #expect(machine.command(4, 0, [4, 0]) == 1)
        #expect(machine.command(4, 1, [1, 0]) == 1)
        #expect(machine.net.activePairs == 3)
        for pair in 0..<3 {
            machine.send(NetMachine.frame(60 + pair), pair: pair)
            machine.kick(2 * pair + 1, machine.transmit[pair])
            #expect(machine.peers[pair].receive()?.frame.count == 60 + pair)
            machine.offerBuffer([2048], pair: pair)
            machine.peers[pair].send(NetMachine.frame(100 + pair))
            machine.serve(2 * pair)
            #expect(machine.collect(pair: pair).map(\.frame.count) == [100 + pair])
        }
    }

    @Test("a driver without multi-queue finds the control queue third on any card")
    func thirdQueue() throws {
        let machine = try NetMachine(pairs: 2)
        machine.start(.controls)
        #expect(machine.controlIndex == 2)
        #expect(machine.command(0, 0, [0]) == 0)
        #expect(arriving(machine, [NetMachine.frame(to: NetMachine.other, 61), NetMachine.frame(60)]) == [60])
        machine.driver.status = 0
        #expect(machine.driver.status == 0)
    }

    @Test("the guest is told when the cable goes out or in")
    func link() throws {
        let machine = try NetMachine()
        machine.start([.netStatus])
        let status = VirtioDriver.Register.configuration + 6
        let generation = machine.driver.read(VirtioDriver.Register.generation, 1)
        machine.net.setLink(up: false)
        #expect(machine.driver.read(status, 2) == 0)
        #expect(machine.driver.read(VirtioDriver.Register.generation, 1) != generation)
        #expect(machine.driver.read(VirtioDriver.Register.interruptStatus, 1) & 2 == 2)
        machine.net.setLink(up: true)
        #expect(machine.driver.read(status, 2) == 1)
    }

    @Test("an announcement is asked for, and over when the driver says so")
    func announce() throws {
        let machine = try NetMachine()
        machine.start(.controls.union(.netGuestAnnounce))
        let status = VirtioDriver.Register.configuration + 6
        #expect(machine.net.announce())
        #expect(machine.driver.read(status, 2) == 3)
        #expect(machine.command(3, 0) == 0)
        #expect(machine.driver.read(status, 2) == 1)
        let plain = try NetMachine()
        plain.start([])
        #expect(!plain.net.announce())
    }
}
