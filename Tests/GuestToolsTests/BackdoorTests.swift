import Testing

@testable import GuestTools

@Suite("Backdoor")
struct BackdoorTests {
    static let facts = Backdoor.MachineFacts(
        uuid: Array(0x10...0x1f), memoryMegabytes: 2048, timeStampFrequency: 5_000_000_000, clockOffset: 3600)
    let backdoor = Backdoor(facts, now: { (0x1_2345_6789, 250_000_000) })

    func ask(_ command: UInt32, ebx: UInt32 = 0) -> BackdoorRegisters {
        var registers = BackdoorRegisters(eax: Backdoor.magic, ebx: ebx, ecx: command, edx: 0x5658, esi: 7, edi: 8)
        backdoor.serve(&registers)
        return registers
    }

    @Test("a read without the magic number finds no port and changes nothing else")
    func noMagic() {
        var registers = BackdoorRegisters(eax: 1, ebx: 2, ecx: 0x0a, edx: 0x5658)
        backdoor.serve(&registers)
        #expect(registers == BackdoorRegisters(eax: .max, ebx: 2, ecx: 0x0a, edx: 0x5658))
    }

    @Test("an unknown command leaves all ones in EAX and the other registers alone")
    func unknown() {
        for command: UInt32 in [0, 0x27, 0x5b, 0xffff] {
            let answer = ask(command, ebx: 3)
            #expect(answer == BackdoorRegisters(eax: .max, ebx: 3, ecx: command, edx: 0x5658, esi: 7, edi: 8))
        }
    }

    @Test("version, memory, UUID and frequencies come in the registers where tools look for them")
    func answers() {
        let version = ask(0x0a)
        #expect(version.eax == 6 && version.ebx == Backdoor.magic && version.ecx == 2)
        #expect(ask(0x14).eax == 2048)
        let uuid = ask(0x13)
        #expect(uuid.eax == 0x1312_1110 && uuid.ebx == 0x1716_1514)
        #expect(uuid.ecx == 0x1b1a_1918 && uuid.edx == 0x1f1e_1d1c)
        let clocks = ask(0x2d)
        #expect(clocks.eax == 0x2a05_f200 && clocks.ebx == 1 && clocks.ecx == 1_000_000_000)
        // The bits that a guest could trust wrongly are clear.
        #expect(ask(0x44).eax & 0x8000_0008 == 0)
    }

    @Test("the time is told whole, and in the old way with its low half")
    func time() {
        let old = ask(0x17)
        #expect(old.eax == 0x2345_6789 && old.ebx == 250_000 && Int32(bitPattern: old.edx) == -60)
        for command: UInt32 in [0x2e, 0x37] {
            let full = ask(command)
            #expect(full.eax == Backdoor.magic)
            #expect(full.esi == 1 && full.edx == 0x2345_6789 && full.ebx == 250_000)
            #expect(full.edi == (command == 0x37 ? 0 : 8))
        }
    }
}
