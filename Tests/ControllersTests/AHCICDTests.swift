import BlockTestSupport
import Controllers
import DeviceModel
import Testing
import VirtioTestSupport

@Suite("SATA CD drives")
struct AHCICDTests {
    /// A CD whose blocks begin with their number.
    private static func disc(_ blocks: Int, mark: UInt8 = 0) -> MemoryBlockBackend {
        let disc = MemoryBlockBackend(capacity: blocks * 2048, isReadOnly: true)
        for block in 0..<blocks {
            disc.bytes[block * 2048] = UInt8(truncatingIfNeeded: block)
            disc.bytes[block * 2048 + 1] = mark
        }
        return disc
    }

    private static let mediumChanged: [UInt8] = [6, 0x28, 0]
    private static let noMedium: [UInt8] = [2, 0x3a, 0]

    private static func rig(_ disc: MemoryBlockBackend?) throws -> AHCIRig {
        let rig = try AHCIRig([.cd(disc, serial: "CD-1")])
        rig.start()
        return rig
    }

    private static func read10(_ block: UInt8, _ count: UInt8) -> [UInt8] { [0x28, 0, 0, 0, 0, block, 0, 0, count] }

    @Test("a drive identifies itself as a packet device, and refuses to be taken for a disk")
    func identify() throws {
        let rig = try Self.rig(nil)
        let (answer, data) = rig.fetch(AHCIRig.frame(0xa1), count: 512)
        #expect(answer.taskFile == 0x50)
        try #require(data.count == 512)
        #expect(data[0..<2] == [0x80, 0x85])
        #expect(data.reduce(0, &+) == 0)
        #expect(rig.fetch(AHCIRig.frame(0xec), count: 512).0.taskFile == 0x451)
        // The signature is in the registers that the driver reads then.
        #expect(rig.heap.bytes(3, at: (rig.areas[0] ?? 0) + 0x44) == [0x01, 0x14, 0xeb])
    }

    @Test("a drive with a CD tells its size, its one track and what it is, and reads")
    func reading() throws {
        let disc = Self.disc(100)
        let rig = try Self.rig(disc)
        #expect(rig.packet([0]).0 == AHCIRig.Answer(taskFile: 0x50, count: 0))
        let (_, inquiry) = rig.packet([0x12, 0, 0, 0, 36], count: 36)
        #expect(inquiry.prefix(2) == [5, 0x80])
        #expect(String(decoding: inquiry.dropFirst(8).prefix(24), as: UTF8.self) == "NECVMWarVMware SATA CD00")
        #expect(rig.packet([0x25], count: 8).1 == [0, 0, 0, 99, 0, 0, 8, 0])
        let (answer, data) = rig.packet(Self.read10(40, 2), count: 4096)
        #expect(answer == AHCIRig.Answer(taskFile: 0x50, count: 4096))
        #expect(data[0] == 40 && data[2048] == 41)
        let (_, twelve) = rig.packet([0xa8, 0, 0, 0, 0, 99, 0, 0, 0, 1], count: 2048)
        #expect(twelve.first == 99)
        let (_, raw) = rig.packet([0xbe, 0, 0, 0, 0, 7, 0, 0, 1, 0x10], count: 2048)
        #expect(raw.first == 7)
        #expect(
            rig.packet([0x43, 0, 0, 0, 0, 0, 0, 0, 255], count: 64).1
                == [0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 0, 100])
        #expect(rig.packet([0x43, 2, 0, 0, 0, 0, 0, 0, 12], count: 64).1.suffix(4) == [0, 0, 2, 0])
        #expect(rig.packet([0x46, 0, 0, 0, 0, 0, 0, 0, 8], count: 8).1.suffix(2) == [0, 8])
        #expect(rig.packet([0x51, 0, 0, 0, 0, 0, 0, 0, 34], count: 34).1.prefix(7) == [0, 32, 0x0e, 1, 1, 1, 1])
        #expect(rig.packet([0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 64], count: 64).1.count == 28)
        #expect(rig.packet([0x1a, 0, 0x3f, 0, 64], count: 64).1.first == 31)
        #expect(rig.packet([0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8], count: 8).1 == [0, 0, 0, 0, 0, 1, 0, 0])
    }

    @Test("errors are told by sense")
    func errors() throws {
        let disc = Self.disc(100)
        let rig = try Self.rig(disc)
        func fails(_ packet: [UInt8], _ count: Int, _ sense: [UInt8], line: Int = #line) {
            let answer = rig.packet(packet, count: count).0
            #expect(answer.taskFile == UInt32(sense[0] << 4 | 4) << 8 | 0x51, "line \(line)")
            #expect(rig.sense() == sense, "line \(line)")
        }
        fails(Self.read10(99, 2), 4096, [5, 0x21, 0])
        fails([0xf7], 0, [5, 0x20, 0])
        fails([0x2a, 0, 0, 0, 0, 0, 0, 0, 1], 2048, [5, 0x20, 0])
        fails([0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8], 8, [5, 0x24, 0])
        // Less memory than the command moves.
        fails(Self.read10(0, 2), 2048, [11, 0x4b, 0])
        disc.verdict = { _ in .end(.failed) }
        fails(Self.read10(0, 1), 2048, [3, 0x11, 0])
        disc.verdict = nil
        #expect(rig.packet(Self.read10(0, 1), count: 2048).0.taskFile == 0x50)
        // Sense is told once.
        #expect(rig.sense() == [0, 0, 0])
    }

    @Test("a CD is exchanged while the machine runs: the guest is told, and reads the new one")
    func exchange() throws {
        let rig = try Self.rig(Self.disc(10, mark: 1))
        #expect(rig.packet(Self.read10(1, 1), count: 2048).1[1] == 1)
        #expect(try rig.controller.changeMedium(port: 0, to: nil))
        #expect(rig.packet([0]).0.taskFile == 0x2451)
        #expect(rig.sense() == Self.noMedium)
        let poll: [UInt8] = [0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8]
        #expect(rig.packet(poll, count: 8).1 == [0, 6, 4, 0x10, 3, 0, 0, 0])
        #expect(try rig.controller.changeMedium(port: 0, to: Self.disc(20, mark: 2)))
        #expect(rig.packet(poll, count: 8).1 == [0, 6, 4, 0x10, 2, 2, 0, 0])
        #expect(rig.packet(poll, count: 8).1 == [0, 6, 4, 0x10, 0, 2, 0, 0])
        #expect(rig.packet([0]).0.taskFile == 0x6451)
        #expect(rig.sense() == Self.mediumChanged)
        #expect(rig.packet([0]).0.taskFile == 0x50)
        #expect(rig.packet([0x25], count: 8).1.prefix(4) == [0, 0, 0, 19])
        #expect(rig.packet(Self.read10(1, 1), count: 2048).1[1] == 2)
    }

    @Test("a CD that the guest has locked in stays, unless it is taken by force; the guest is asked for it")
    func locked() throws {
        let rig = try Self.rig(Self.disc(10))
        #expect(rig.packet([0x1e, 0, 0, 0, 1]).0.taskFile == 0x50)
        #expect(try !rig.controller.changeMedium(port: 0, to: nil))
        let poll: [UInt8] = [0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8]
        #expect(rig.packet(poll, count: 8).1 == [0, 6, 4, 0x10, 1, 2, 0, 0])
        #expect(rig.packet([0x1b, 0, 0, 0, 2]).0.taskFile == 0x5451)
        #expect(rig.sense() == [5, 0x53, 2])
        #expect(try rig.controller.changeMedium(port: 0, to: nil, force: true))
        #expect(rig.packet([0]).0.taskFile == 0x2451)
    }

    @Test("a guest opens the tray and closes it again with the CD still on it; the host hears of it")
    func tray() throws {
        let rig = try Self.rig(Self.disc(10, mark: 9))
        #expect(rig.packet([0x1b, 0, 0, 0, 2]).0.taskFile == 0x50)
        #expect(rig.packet([0]).0.taskFile == 0x2451)
        #expect(rig.sense() == Self.noMedium)
        #expect(rig.packet([0x1b, 0, 0, 0, 3]).0.taskFile == 0x50)
        #expect(rig.packet([0]).0.taskFile == 0x6451)
        #expect(rig.sense() == Self.mediumChanged)
        #expect(rig.packet(Self.read10(1, 1), count: 2048).1[1] == 9)
        #expect(rig.log.lines == ["tray 0 out", "tray 0 in"])
    }

    @Test("what the guest was reading when the CD was taken by force fails")
    func takenWhileReading() throws {
        let disc = Self.disc(10)
        let rig = try Self.rig(disc)
        disc.verdict = { _ in .stall }
        #expect(rig.packet(Self.read10(0, 1), count: 2048).0.taskFile & 0x80 != 0)
        #expect(try rig.controller.changeMedium(port: 0, to: nil))
        #expect(rig.read(0, AHCIRig.Register.taskFile) == 0x3451)
        #expect(rig.sense() == [3, 0x11, 0])
    }
}
