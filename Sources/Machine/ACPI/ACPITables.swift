import Bytes

/// The ACPI tables of a machine: contents first, addresses second.
public struct ACPITables: Sendable {
    /// All tables except the RSDP, in the order they are laid out. The root tables come last.
    let tables: [ACPITable]
    let oemIdentifier: String

    /// Builds the tables' contents.
    ///
    /// - Throws: `ACPIConfigurationError` if the configuration contradicts itself.
    public init(_ configuration: ACPIConfiguration) throws(ACPIConfigurationError) {
        try configuration.check()
        let maker = ACPITable.Maker(configuration)
        var listed: [ACPITable] = [
            .fadt(configuration, by: maker), .madt(configuration, by: maker), .mcfg(configuration, by: maker),
            .waet(by: maker),
        ]
        if let port = configuration.serialConsole { listed.append(.spcr(port, by: maker)) }
        let signatures = listed.map(\.signature)
        tables =
            [.facs(), .dsdt(configuration, by: maker)] + listed + [
                .root("RSDT", entryWidth: 4, signatures, by: maker),
                .root("XSDT", entryWidth: 8, signatures, by: maker),
            ]
        oemIdentifier = configuration.oemIdentifier
    }

    /// Gives the tables addresses: the RSDP first, the others behind it in one piece.
    ///
    /// - Parameter address: guest physical address, a multiple of 64. The whole must lie below 4 GiB because the 32-bit
    ///   root table names every table; for a guest that searches for the RSDP, address E0000-FFFFF.
    /// - Throws: `ACPIConfigurationError.misplaced` if it is not so.
    public func placed(at address: UInt64) throws(ACPIConfigurationError) -> PlacedACPITables {
        guard address % 64 == 0, address < 1 << 32 else { throw .misplaced(address) }
        let (offsets, count) = layout(from: Self.rsdpCount)
        guard address + UInt64(count) <= 1 << 32 else { throw .misplaced(address) }

        func absolute(_ signature: String) -> UInt64 { address + UInt64(offsets[signature] ?? 0) }
        var writer = ByteWriter()
        writer.append(rsdp(rsdt: UInt32(truncatingIfNeeded: absolute("RSDT")), xsdt: absolute("XSDT")))
        for table in tables {
            writer.align(to: table.alignment)
            let start = writer.count
            writer.append(table.bytes)
            for pointer in table.pointers {
                if pointer.width == 8 {
                    writer.patch(at: start + pointer.offset, little: absolute(pointer.target))
                } else {
                    let value = UInt32(truncatingIfNeeded: absolute(pointer.target))
                    writer.patch(at: start + pointer.offset, little: value)
                }
            }
            if let offset = table.checksumOffset {
                writer.patch(at: start + offset, little: acpiChecksum(writer.bytes[start...]))
            }
        }
        return PlacedACPITables(address: address, bytes: writer.bytes)
    }

    /// Length of the revision 2 root pointer.
    static let rsdpCount = 36

    /// The root system description pointer, revision 2 (ACPI 6.5, 5.2.5.3).
    func rsdp(rsdt: UInt32, xsdt: UInt64) -> [UInt8] {
        var writer = ByteWriter()
        writer.text("RSD PTR ", width: 8)
        writer.append([0])
        writer.text(oemIdentifier, width: 6, fill: 0x20)
        writer.append([2])
        writer.little(rsdt)
        writer.little(UInt32(Self.rsdpCount))
        writer.little(xsdt)
        writer.zeros(4)
        // The first checksum covers what revision 1 had, the second all.
        writer.patch(at: 8, little: acpiChecksum(writer.bytes[..<20]))
        writer.patch(at: 32, little: acpiChecksum(writer.bytes))
        return writer.bytes
    }
}

/// ACPI tables ready to be copied into guest memory.
public struct PlacedACPITables: Equatable, Sendable {
    /// Guest physical address of the first byte; the RSDP stands there.
    public let address: UInt64
    public let bytes: [UInt8]

    /// Guest physical address of the root system description pointer.
    public var rsdpAddress: UInt64 { address }
}

extension ACPITable {
    /// The RSDT or XSDT (ACPI 6.5, 5.2.7 and 5.2.8): the addresses of the tables.
    static func root(_ signature: String, entryWidth: Int, _ targets: [String], by maker: Maker) -> ACPITable {
        let body = [UInt8](repeating: 0, count: entryWidth * targets.count)
        var table = ACPITable(signature, revision: 1, by: maker, body: body)
        table.pointers = targets.enumerated().map { index, target in
            Pointer(offset: headerCount + index * entryWidth, width: entryWidth, target: target)
        }
        return table
    }
}

/// Why no tables can be built.
public enum ACPIConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    case noProcessors
    case tooManyProcessors(Int)
    case repeatedAPICIdentifier(UInt32)
    case badHotplugSlot(UInt8)
    case badWindow(String)
    case repeatedSerialPort(SerialPort)
    case misplaced(UInt64)

    public var description: String {
        switch self {
        case .noProcessors: "ACPI tables need at least one virtual CPU"
        case .tooManyProcessors(let count):
            "ACPI tables describe at most \(ACPIConfiguration.processorsMax) virtual CPUs, not \(count)"
        case .repeatedAPICIdentifier(let identifier): "two virtual CPUs have the APIC identifier \(identifier)"
        case .badHotplugSlot(let slot): "PCI slot \(slot) is named twice or is not one of the pluggable slots 1 to 30"
        case .badWindow(let what): "the PCI window \(what)"
        case .repeatedSerialPort(let port): "serial port COM\(port.rawValue) is named twice"
        case .misplaced(let address):
            "ACPI tables at 0x\(String(address, radix: 16)) are not aligned to 64 bytes or reach beyond 4 GiB"
        }
    }
}

extension ACPIConfiguration {
    /// The most virtual CPUs the tables can name: their object names hold three hexadecimal digits.
    public static let processorsMax = 4096

    func check() throws(ACPIConfigurationError) {
        guard !apicIdentifiers.isEmpty else { throw .noProcessors }
        guard apicIdentifiers.count <= Self.processorsMax else { throw .tooManyProcessors(apicIdentifiers.count) }
        var identifiers: Set<UInt32> = []
        for identifier in apicIdentifiers where !identifiers.insert(identifier).inserted {
            throw .repeatedAPICIdentifier(identifier)
        }
        var slots: Set<UInt8> = []
        for slot in hotplugSlots {
            guard (1...30).contains(slot), slots.insert(slot).inserted else { throw .badHotplugSlot(slot) }
        }
        var ports: Set<SerialPort> = []
        for port in serialPorts where !ports.insert(port).inserted { throw .repeatedSerialPort(port) }
        guard pciWindow32.lowerBound > 0 else { throw .badWindow("below 4 GiB begins at zero") }
        if let window = pciWindow64, window.lowerBound < 1 << 32 { throw .badWindow("above 4 GiB begins below it") }
        guard configurationSpaceBase % 0x1000_0000 == 0 else {
            throw .badWindow("of configuration space is not aligned to 256 MiB")
        }
    }
}
