/// The colours behind numbers, as `0x00RRGGBB`.
struct Palette: Equatable {
    /// What a byte of a pixel means.
    var bytes: [UInt32]
    /// What four bits of a text attribute or of four planes mean.
    var attributes: [UInt32]

    init(_ registers: VGARegisters) {
        let isWide = registers.dispi.hasWideDAC
        func component(_ index: Int) -> UInt32 {
            let value = UInt32(registers.palette[index])
            return isWide ? value : value << 2 | value >> 4
        }
        let mask = registers.dacMask
        bytes = (0..<256).map { index in
            let entry = Int(UInt8(index) & mask) * 3
            return component(entry) << 16 | component(entry + 1) << 8 | component(entry + 2)
        }
        let control = registers.attribute[0x10]
        let select = registers.attribute[0x14]
        let enabled = registers.attribute[0x12]
        attributes = []
        for index in 0..<16 {
            // Colour select gives the upper two bits, or, where the mode says so, the upper four.
            let register = registers.attribute[index & Int(enabled & 0x0f)]
            let high = (select & 0x0c) << 4
            let entry = control & 0x80 != 0 ? high | (select & 3) << 4 | register & 0x0f : high | register & 0x3f
            attributes.append(bytes[Int(entry)])
        }
    }
}
