extension SMBIOSTables {
    /// The largest memory device made up: 16 GiB each, or more each where there would be over 64 of them.
    private static let deviceCountDefault: UInt64 = 16 << 30
    private static let devicesMax: UInt64 = 64

    /// Types 16, 17 and 19 (7.17, 7.18, 7.20): one array, made-up devices that add up to its size, and where it is mapped.
    static func memory(_ configuration: SMBIOSConfiguration) -> [UInt8] {
        let total = configuration.memory.reduce(0) { $0 + $1.count }
        let perDevice = max(deviceCountDefault, roundedUp(total / devicesMax + 1, to: 1 << 30))
        var sizes: [UInt64] = []
        var rest = total
        while rest > 0 {
            sizes.append(min(rest, perDevice))
            rest -= min(rest, perDevice)
        }
        var bytes = array(total: total, deviceCount: sizes.count)
        for (index, size) in sizes.enumerated() { bytes += device(index, count: size) }
        for (index, piece) in configuration.memory.enumerated() { bytes += mapping(index, piece) }
        return bytes
    }

    private static func roundedUp(_ value: UInt64, to unit: UInt64) -> UInt64 { (value + unit - 1) / unit * unit }

    private static func array(total: UInt64, deviceCount: Int) -> [UInt8] {
        var structure = SMBIOSStructure(type: 16, handle: Handle.memoryArray)
        structure.bytes([1, 3, 3])  // location other, system memory, no error correction
        // In KiB; from 2 TiB on the wide field has it, in bytes.
        let isShort = total >> 10 < 0x8000_0000
        structure.double(isShort ? UInt32(truncatingIfNeeded: total >> 10) : 0x8000_0000)
        structure.word(0xfffe)  // no error information
        structure.word(UInt16(clamping: deviceCount))
        structure.quad(isShort ? 0 : total)
        return structure.encoded(count: 0x17)
    }

    private static func device(_ index: Int, count: UInt64) -> [UInt8] {
        var structure = SMBIOSStructure(type: 17, handle: Handle.memoryDevice + UInt16(truncatingIfNeeded: index))
        structure.word(Handle.memoryArray)
        structure.word(0xfffe)
        structure.word(0xffff)  // widths unknown
        structure.word(0xffff)
        // In MiB; from 32 GiB - 1 MiB on the wide field has it. A machine below 1 MiB counts in KiB (bit 15).
        let megabytes = count >> 20
        if megabytes == 0 {
            structure.word(0x8000 | UInt16(truncatingIfNeeded: count >> 10))
        } else {
            structure.word(megabytes < 0x7fff ? UInt16(truncatingIfNeeded: megabytes) : 0x7fff)
        }
        structure.byte(9)  // DIMM
        structure.byte(0)  // not in a set
        structure.text("DIMM \(index)")
        structure.text("")
        structure.byte(7)  // RAM
        structure.word(1 << 1)  // other
        structure.word(0)  // speed unknown
        structure.bytes([0, 0, 0, 0, 0])  // no manufacturer, serial number, asset tag, part number; rank unknown
        structure.double(megabytes < 0x7fff ? 0 : UInt32(clamping: megabytes))
        structure.word(0)  // speed and voltages unknown
        structure.word(0)
        structure.word(0)
        structure.word(0)
        return structure.encoded(count: 0x28)
    }

    private static func mapping(_ index: Int, _ piece: SMBIOSConfiguration.Memory) -> [UInt8] {
        var structure = SMBIOSStructure(type: 19, handle: Handle.memoryMapping + UInt16(truncatingIfNeeded: index))
        let last = piece.start + piece.count - 1
        // In KiB, the last one included; all ones say that the wide fields have it, in bytes.
        let isShort = last >> 10 < 0xffff_ffff
        structure.double(isShort ? UInt32(truncatingIfNeeded: piece.start >> 10) : .max)
        structure.double(isShort ? UInt32(truncatingIfNeeded: last >> 10) : .max)
        structure.word(Handle.memoryArray)
        structure.byte(1)
        structure.quad(isShort ? 0 : piece.start)
        structure.quad(isShort ? 0 : last)
        return structure.encoded(count: 0x1f)
    }
}
