/// What the SMBIOS tables say about a machine. Pure input: the same configuration always gives the same tables.
///
/// Texts that are empty are left out of the tables. NUL characters, which would end a text early, are dropped.
public struct SMBIOSConfiguration: Equatable, Sendable {
    /// A piece of RAM as the guest sees it.
    public struct Memory: Equatable, Sendable {
        /// Guest physical address of the first byte; a multiple of 1 KiB.
        public var start: UInt64
        /// Length in bytes; a multiple of 1 KiB.
        public var count: UInt64

        public init(start: UInt64, count: UInt64) {
            self.start = start
            self.count = count
        }
    }

    /// What a management system knows the machine by.
    public struct System: Equatable, Sendable {
        public var manufacturer = "Wafer"
        public var product = "Wafer Virtual Machine"
        public var version = ""
        public var serialNumber = ""
        public var skuNumber = ""
        public var family = "Virtual Machine"

        public init() {}
    }

    /// The firmware's vendor, version and date (mm/dd/yyyy).
    public struct Firmware: Equatable, Sendable {
        public var vendor = "Wafer"
        public var version = "1"
        public var date = "01/01/2026"

        public init() {}
    }

    /// The machine's UUID: 16 bytes in the order in which it is written (RFC 9562).
    public var uuid: [UInt8]
    public var system = System()
    public var firmware = Firmware()
    public var assetTag = ""
    /// Processor packages, and what each holds.
    public var sockets: Int
    public var coresPerSocket = 1
    public var threadsPerCore = 1
    public var processorManufacturer = ""
    public var processorVersion = ""
    /// EAX (low half) and EDX (high half) of CPUID leaf 1.
    public var processorIdentifier: UInt64 = 0
    /// In order of address.
    public var memory: [Memory]
    /// Free texts for the guest (type 11); nothing is said if there are none.
    public var oemStrings: [String] = []

    public init(uuid: [UInt8], sockets: Int, memory: [Memory]) {
        self.uuid = uuid
        self.sockets = sockets
        self.memory = memory
    }
}

/// Why no tables can be built.
public enum SMBIOSConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    case badUUID(byteCount: Int)
    case badProcessorCount(sockets: Int, cores: Int, threads: Int)
    case badMemory(start: UInt64, count: UInt64)
    case tooManyTexts(Int)
    case tablesTooLong(Int)
    case misplaced(UInt64)

    public var description: String {
        switch self {
        case .badUUID(let count): "a machine's UUID has 16 bytes, not \(count)"
        case .badProcessorCount(let sockets, let cores, let threads):
            "SMBIOS cannot describe \(sockets) sockets of \(cores) cores of \(threads) threads"
        case .badMemory(let start, let count):
            "\(count) bytes of memory at 0x\(String(start, radix: 16)) are not whole kilobytes or overlap"
        case .tooManyTexts(let count): "SMBIOS holds at most 255 free texts, not \(count)"
        case .tablesTooLong(let count): "SMBIOS tables of \(count) bytes do not fit between 0xF0000 and 0xFFFFF"
        case .misplaced(let address):
            "SMBIOS tables at 0x\(String(address, radix: 16)) are not at a multiple of 16 between 0xF0000 and 0xFFFFF"
        }
    }
}

extension SMBIOSConfiguration {
    private static let socketsMax = 256

    func check() throws(SMBIOSConfigurationError) {
        guard uuid.count == 16 else { throw .badUUID(byteCount: uuid.count) }
        let counts = 1...0xffff
        guard (1...Self.socketsMax).contains(sockets), counts.contains(coresPerSocket), counts.contains(threadsPerCore),
            counts.contains(coresPerSocket * threadsPerCore)
        else {
            throw .badProcessorCount(sockets: sockets, cores: coresPerSocket, threads: threadsPerCore)
        }
        var end: UInt64 = 0
        for piece in memory {
            let (next, overflow) = piece.start.addingReportingOverflow(piece.count)
            guard piece.start >= end, piece.count > 0, !overflow, piece.start % 1024 == 0, piece.count % 1024 == 0
            else {
                throw .badMemory(start: piece.start, count: piece.count)
            }
            end = next
        }
        guard oemStrings.count <= 255 else { throw .tooManyTexts(oemStrings.count) }
    }
}
