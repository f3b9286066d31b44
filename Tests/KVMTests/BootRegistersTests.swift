import Testing

@testable import KVM

@Suite("Registers for booting without firmware")
struct BootRegistersTests {
    @Test("long mode comes with paging, flat segments and the boot parameters in RSI")
    func longMode() {
        let boot = BootRegisters.longMode(entry: 0x100_0200, stack: 0x8FF0, rsi: 0x7000, pageTable: 0x9000, gdt: 0x500)
        #expect(boot.general.rip == 0x100_0200 && boot.general.rsi == 0x7000 && boot.general.rflags == 2)
        #expect(boot.cr0 == 0x8000_0011 && boot.cr3 == 0x9000 && boot.cr4 == 0x20 && boot.efer == 0x500)
        #expect(boot.code.selector == 0x10 && boot.data.selector == 0x18)
        // The well-known flat descriptors, accessed.
        #expect(
            boot.descriptors
                == [0, 0, 0x00AF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF, 0x0000_8B00_0000_0067, 0])
        #expect(boot.descriptors.count * 8 == BootRegisters.descriptorTableSize)
        #expect(boot.gdt == DescriptorTable(base: 0x500, limit: 47))
    }

    @Test("PVH comes with protection only and the start information in EBX")
    func protectedMode() {
        let boot = BootRegisters.protectedMode(entry: 0x100_0000, ebx: 0x6000, gdt: 0x500)
        #expect(boot.general.rip == 0x100_0000 && boot.general.rbx == 0x6000)
        #expect(boot.cr0 == 0x11 && boot.cr4 == 0 && boot.efer == 0)
        #expect(boot.descriptors[2] == 0x00CF_9B00_0000_FFFF)
    }
}
