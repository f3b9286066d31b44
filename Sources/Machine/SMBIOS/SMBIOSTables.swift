import Bytes

/// The SMBIOS tables of a machine (DMTF DSP0134 3.0), where Linux's `dmidecode`, Windows and inventory agents look.
public struct SMBIOSTables: Equatable, Sendable {
    /// All structures, one after another.
    let bytes: [UInt8]

    /// Builds the tables.
    ///
    /// - Throws: `SMBIOSConfigurationError` if the configuration cannot be expressed.
    public init(_ configuration: SMBIOSConfiguration) throws(SMBIOSConfigurationError) {
        try configuration.check()
        var bytes = Self.firmware(configuration) + Self.system(configuration) + Self.chassis(configuration)
        for index in 0..<configuration.sockets { bytes += Self.processor(index, configuration) }
        bytes += Self.oemStrings(configuration) + Self.memory(configuration) + Self.bootInformation()
        bytes += SMBIOSStructure(type: 127, handle: Handle.end).encoded(count: 4)
        self.bytes = bytes
    }

    /// The tables with their 64-bit entry point in front.
    ///
    /// - Parameter address: a multiple of 16 from F0000 to FFFFF, where systems without UEFI search.
    /// - Throws: `SMBIOSConfigurationError.misplaced` or `.tablesTooLong`.
    public func placed(at address: UInt64) throws(SMBIOSConfigurationError) -> PlacedSMBIOSTables {
        guard (0xf_0000...0xf_ffff).contains(address), address % 16 == 0 else { throw .misplaced(address) }
        let start = 32  // the entry point has 24 bytes
        guard UInt64(start + bytes.count) <= 0x10_0000 - address else { throw .tablesTooLong(start + bytes.count) }
        var writer = ByteWriter()
        writer.text("_SM3_", width: 5)
        writer.append([0, 24, 3, 0, 0, 1, 0])  // checksum, length, version 3.0, document revision, entry point revision
        writer.little(UInt32(bytes.count))
        writer.little(address + UInt64(start))
        writer.patch(at: 5, little: 0 &- writer.bytes.reduce(0, &+))
        writer.align(to: start)
        writer.append(bytes)
        return PlacedSMBIOSTables(address: address, bytes: writer.bytes)
    }

    /// The tables for a machine whose firmware puts them in place: the fw_cfg files `etc/smbios/smbios-anchor` and
    /// `etc/smbios/smbios-tables`. Firmware sets address and checksums in the anchor.
    ///
    /// The anchor is the 32-bit entry point (5.2.1), which every firmware takes.
    public var loaderFiles: (anchor: [UInt8], tables: [UInt8]) {
        var writer = ByteWriter()
        writer.text("_SM_", width: 4)
        writer.append([0, 0x1f, 2, 8])  // checksum, length, version 2.8
        let lengths = structureLengths
        writer.little(UInt16(clamping: lengths.max() ?? 0))
        writer.zeros(6)  // revision of this form
        writer.text("_DMI_", width: 5)
        writer.append([0])
        writer.little(UInt16(clamping: bytes.count))
        writer.little(UInt32(0))
        writer.little(UInt16(clamping: lengths.count))
        writer.append([0x28])
        return (writer.bytes, bytes)
    }

    /// How long each structure is: its formatted area, whose length is its second byte, and its texts up to two zeros in a row.
    private var structureLengths: [Int] {
        var lengths: [Int] = []
        var start = 0
        while start + 1 < bytes.count {
            var end = start + Int(bytes[start + 1])
            while end + 1 < bytes.count, bytes[end] != 0 || bytes[end + 1] != 0 { end += 1 }
            lengths.append(end + 2 - start)
            start = end + 2
        }
        return lengths
    }

    enum Handle {
        static let firmware: UInt16 = 0
        static let system: UInt16 = 0x100
        static let chassis: UInt16 = 0x300
        /// And one more for each further socket.
        static let processor: UInt16 = 0x400
        static let oemStrings: UInt16 = 0xb00
        static let memoryArray: UInt16 = 0x1000
        static let memoryDevice: UInt16 = 0x1100
        static let memoryMapping: UInt16 = 0x3000
        static let bootInformation: UInt16 = 0x4000
        static let end: UInt16 = 0x7f00
    }
}

/// SMBIOS tables ready to be copied into guest memory.
public struct PlacedSMBIOSTables: Equatable, Sendable {
    /// Guest physical address of the first byte, where the entry point stands.
    public let address: UInt64
    public let bytes: [UInt8]
}

extension SMBIOSTables {
    /// Type 0 (7.1).
    private static func firmware(_ configuration: SMBIOSConfiguration) -> [UInt8] {
        var structure = SMBIOSStructure(type: 0, handle: Handle.firmware)
        structure.text(configuration.firmware.vendor)
        structure.text(configuration.firmware.version)
        structure.word(0)  // no segment: not a BIOS in the old sense
        structure.text(configuration.firmware.date)
        structure.byte(0)  // 64 KiB
        structure.quad(1 << 3)  // the other characteristics are not stated
        structure.byte(0)
        structure.byte(1 << 4)  // the table describes a virtual machine
        structure.bytes([0xff, 0xff, 0xff, 0xff])  // no firmware release, no embedded controller
        return structure.encoded(count: 0x18)
    }

    /// Type 1 (7.2).
    private static func system(_ configuration: SMBIOSConfiguration) -> [UInt8] {
        var structure = SMBIOSStructure(type: 1, handle: Handle.system)
        structure.text(configuration.system.manufacturer)
        structure.text(configuration.system.product)
        structure.text(configuration.system.version)
        structure.text(configuration.system.serialNumber)
        // The first three groups of the UUID are little-endian (7.2.1).
        let uuid = configuration.uuid
        structure.bytes([3, 2, 1, 0, 5, 4, 7, 6].map { uuid[$0] } + uuid[8...])
        structure.byte(6)  // woken by the power switch
        structure.text(configuration.system.skuNumber)
        structure.text(configuration.system.family)
        return structure.encoded(count: 0x1b)
    }

    /// Type 3 (7.4).
    private static func chassis(_ configuration: SMBIOSConfiguration) -> [UInt8] {
        var structure = SMBIOSStructure(type: 3, handle: Handle.chassis)
        structure.text(configuration.system.manufacturer)
        structure.byte(1)  // other
        structure.text(configuration.system.version)
        structure.text(configuration.system.serialNumber)
        structure.text(configuration.assetTag)
        structure.bytes([3, 3, 3, 2])  // boot, power and thermal state safe; security unknown
        structure.double(0)
        structure.bytes([0, 0, 0, 0])  // height and power cords unspecified; no contained elements
        structure.text(configuration.system.skuNumber)
        return structure.encoded(count: 0x16)
    }

    /// Type 4 (7.5).
    private static func processor(_ index: Int, _ configuration: SMBIOSConfiguration) -> [UInt8] {
        let cores = configuration.coresPerSocket
        let threads = cores * configuration.threadsPerCore
        var structure = SMBIOSStructure(type: 4, handle: Handle.processor + UInt16(index))
        structure.text("CPU \(index)")
        structure.byte(3)  // central processor
        structure.byte(1)  // family: other
        structure.text(configuration.processorManufacturer)
        structure.quad(configuration.processorIdentifier)
        structure.text(configuration.processorVersion)
        structure.byte(0)  // voltage
        structure.word(0)  // external clock unknown
        structure.word(0)  // speeds unknown
        structure.word(0)
        structure.byte(0x41)  // socket populated, processor enabled
        structure.byte(1)  // upgrade: other
        for _ in 0..<3 { structure.word(0xffff) }  // no cache information
        structure.bytes([0, 0, 0])  // no serial number, asset tag, part number
        // A count beyond 255 says so here and stands in the wide fields at the end.
        let short = { (count: Int) in UInt8(clamping: count) }
        structure.bytes([short(cores), short(cores), short(threads)])
        structure.word(1 << 2)  // 64-bit capable
        structure.word(1)  // family: other
        for count in [cores, cores, threads] { structure.word(UInt16(clamping: count)) }
        return structure.encoded(count: 0x30)
    }

    /// Type 11 (7.12).
    private static func oemStrings(_ configuration: SMBIOSConfiguration) -> [UInt8] {
        if configuration.oemStrings.isEmpty { return [] }
        var structure = SMBIOSStructure(type: 11, handle: Handle.oemStrings)
        structure.byte(UInt8(clamping: configuration.oemStrings.count))
        for text in configuration.oemStrings { structure.listedText(text) }
        return structure.encoded(count: 5)
    }

    /// Type 32 (7.33): the last boot was without errors.
    private static func bootInformation() -> [UInt8] {
        var structure = SMBIOSStructure(type: 32, handle: Handle.bootInformation)
        structure.bytes([0, 0, 0, 0, 0, 0, 0])
        return structure.encoded(count: 0x0b)
    }
}
