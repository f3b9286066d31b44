import Bytes

/// The setup header of a Linux bzImage (Documentation/arch/x86/boot.rst in the kernel's source).
struct LinuxImage: Equatable, Sendable {
    /// The bytes of the header as they go into the boot parameters, from offset 1F1 of the file on.
    let header: [UInt8]
    /// Where in the file the protected-mode kernel is.
    let payload: Range<Int>
    /// Whether the kernel runs at other addresses than the preferred one.
    let isRelocatable: Bool
    /// A power of two.
    let alignment: UInt64
    let preferredAddress: UInt64
    /// How much memory from its load address on the kernel uses before it looks at the memory map.
    let initializationCount: UInt64
    /// Last address that the initial RAM disk may occupy.
    let initrdAddressMax: UInt64
    /// Longest command line, without its end.
    let commandLineCountMax: Int

    /// Offsets in the file, and alike in the boot parameters.
    enum Offset {
        static let header = 0x1f1
        static let setupSectors = 0x1f1
        static let systemSize = 0x1f4
        static let videoMode = 0x1fa
        static let bootFlag = 0x1fe
        static let jumpDistance = 0x201
        static let magic = 0x202
        static let version = 0x206
        static let loaderType = 0x210
        static let loadFlags = 0x211
        static let code32Start = 0x214
        static let initrdAddress = 0x218
        static let initrdCount = 0x21c
        static let commandLine = 0x228
        static let initrdAddressMax = 0x22c
        static let alignment = 0x230
        static let relocatable = 0x234
        static let extendedLoadFlags = 0x236
        static let commandLineCountMax = 0x238
        static let preferredAddress = 0x258
        static let initializationCount = 0x260
        /// What version 2.12 defines ends here.
        static let headerEndMin = 0x264
        /// Boot parameters have other things from here on.
        static let headerEndMax = 0x290
    }

    static let magic: UInt32 = 0x5372_6448  // "HdrS"
    static let version212: UInt16 = 0x20c

    init(_ image: some BootImage) throws(GuestBootError) {
        func fail(_ problem: GuestBootError.Problem) -> GuestBootError { GuestBootError(image.name, problem) }
        let head = try image.head(Offset.headerEndMax)
        // What is shorter than a boot sector or does not end as one is something else altogether.
        guard head.count >= Offset.bootFlag + 2 else { throw fail(.notAKernel) }
        let fields = Fields(head)
        let flag: UInt16 = fields[Offset.bootFlag]
        let magic: UInt32 = fields[Offset.magic]
        if flag != 0xaa55 { throw fail(magic == Self.magic ? .bootFlagMissing : .notAKernel) }
        guard head.count >= Offset.headerEndMin else {
            throw fail(
                .truncated(
                    what: "the setup header", offset: Offset.header, needed: Offset.headerEndMin - Offset.header,
                    available: image.count))
        }
        guard magic == Self.magic else { throw fail(.headerMagicMissing) }
        let version: UInt16 = fields[Offset.version]
        guard version >= Self.version212 else { throw fail(.protocolTooOld(version)) }
        let loadFlags: UInt8 = fields[Offset.loadFlags]
        guard loadFlags & 1 != 0 else { throw fail(.notLoadedHigh) }
        let extendedFlags: UInt16 = fields[Offset.extendedLoadFlags]
        guard extendedFlags & 1 != 0 else { throw fail(.no64BitEntry) }

        let jump: UInt8 = fields[Offset.jumpDistance]
        let end = min(max(Offset.magic + Int(jump), Offset.headerEndMin), Offset.headerEndMax, head.count)
        header = Array(head[Offset.header..<end])

        let sectors: UInt8 = fields[Offset.setupSectors]
        let setupCount = (Int(sectors == 0 ? 4 : sectors) + 1) * 512
        guard setupCount < image.count else { throw fail(.kernelEmpty) }
        // Counted in units of 16 bytes. A signature may follow, which the kernel does not want in memory.
        let units: UInt32 = fields[Offset.systemSize]
        let count = Int(units) * 16
        guard count > 0 else { throw fail(.kernelEmpty) }
        guard count - 15 <= image.count - setupCount else {
            throw fail(.truncated(what: "the kernel", offset: setupCount, needed: count, available: image.count))
        }
        payload = setupCount..<min(setupCount + count, image.count)

        let relocatable: UInt8 = fields[Offset.relocatable]
        isRelocatable = relocatable != 0
        let alignment: UInt32 = fields[Offset.alignment]
        guard alignment.nonzeroBitCount == 1 else { throw fail(.badAlignment(alignment)) }
        self.alignment = UInt64(alignment)
        preferredAddress = fields[Offset.preferredAddress]
        let initializationCount: UInt32 = fields[Offset.initializationCount]
        self.initializationCount = max(UInt64(initializationCount), UInt64(payload.count))
        let initrdMax: UInt32 = fields[Offset.initrdAddressMax]
        initrdAddressMax = UInt64(initrdMax)
        let commandLineMax: UInt32 = fields[Offset.commandLineCountMax]
        commandLineCountMax = commandLineMax == 0 ? 255 : Int(commandLineMax)
    }
}

/// Little-endian integers at fixed offsets; what lies past the end reads as zero.
struct Fields {
    private let bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }

    subscript<T: FixedWidthInteger & BitwiseCopyable>(offset: Int) -> T {
        var reader = ByteReader(bytes.span)
        do throws(OutOfBounds) {
            try reader.seek(to: offset)
            return try reader.little()
        } catch {
            return 0
        }
    }
}
