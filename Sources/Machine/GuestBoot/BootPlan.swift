import Bytes
public import GuestMemory

/// What a machine that boots without firmware is told besides its kernel.
public struct BootParameters: Sendable {
    /// The machine's RAM.
    public var ram: [GuestMemoryRegion]
    /// Ranges to report that are not free RAM, such as the PCI configuration space; the legacy ones need not be named.
    public var reserved: [MemoryMapEntry] = []
    public var commandLine = ""
    /// Guest physical address of the ACPI root pointer; nil lets the kernel search E0000-FFFFF.
    public var rsdpAddress: GuestAddress?

    public init(ram: [GuestMemoryRegion]) { self.ram = ram }
}

/// Everything that has to be put into memory and registers to start a kernel: computed once, carried out at each power-on
/// and reset.
public struct BootPlan: Sendable {
    /// One piece of memory to be filled. All pieces lie in RAM and do not overlap, except that zeros come before what
    /// lies in them.
    public struct Write: Equatable, Sendable {
        public enum Source: Equatable, Sendable {
            case bytes([UInt8])
            /// A range of the kernel image.
            case kernel(Range<Int>)
            /// A range of the initial RAM disk.
            case initrd(Range<Int>)
            /// So many zero bytes.
            case zeros(Int)
        }

        public var address: GuestAddress
        public var source: Source

        /// Length in bytes.
        public var count: Int {
            switch source {
            case .bytes(let bytes): bytes.count
            case .kernel(let range), .initrd(let range): range.count
            case .zeros(let count): count
            }
        }
    }

    public let writes: [Write]
    /// The memory map the kernel is given, in order of address.
    public let memoryMap: [MemoryMapEntry]
    public let registers: BootRegisters
    private let kernel: any BootImage
    private let initrd: (any BootImage)?

    init(
        _ kernel: any BootImage, _ initrd: (any BootImage)?, writes: [Write], memoryMap: [MemoryMapEntry],
        registers: BootRegisters
    ) {
        self.kernel = kernel
        self.initrd = initrd
        self.writes = writes
        self.memoryMap = memoryMap
        self.registers = registers
    }

    /// Plans the boot of a Linux bzImage or of an ELF kernel with a PVH entry.
    public init(
        kernel: any BootImage, initrd: (any BootImage)? = nil, _ parameters: BootParameters
    ) throws(GuestBootError) {
        let magic = try kernel.head(4)
        if magic == ELFImage.magic {
            self = try PVHBoot.plan(ELFImage(kernel), kernel, initrd, parameters)
        } else {
            self = try LinuxBoot.plan(LinuxImage(kernel), kernel, initrd, parameters)
        }
    }

    /// Fills guest memory.
    ///
    /// - Parameter isFresh: the memory has not been used since it was made, so what must be zero is. Saves touching it.
    public func load(into ram: GuestRAM, isFresh: Bool = false) throws(GuestBootError) {
        for write in writes {
            switch write.source {
            case .bytes(let bytes):
                do throws(GuestMemoryError) {
                    try ram.write(bytes, at: write.address)
                } catch {
                    throw GuestBootError(kernel.name, .outsideMemory(address: error.address, count: error.count))
                }
            case .kernel(let range): try kernel.copy(range, into: ram, at: write.address)
            case .initrd(let range): try initrd?.copy(range, into: ram, at: write.address)
            case .zeros(let count):
                if isFresh { continue }
                guard let target = unsafe ram.pointer(at: write.address, count: count) else {
                    throw GuestBootError(kernel.name, .outsideMemory(address: write.address, count: count))
                }
                unsafe target.initializeMemory(as: UInt8.self, repeating: 0, count: count)
                ram.markDirty(write.address, count: count)
            }
        }
    }
}

/// Steps that both ways of booting share.
extension BootPlan {
    /// The command line with its end, or why it cannot be passed.
    ///
    /// - Parameter limit: the most bytes the kernel takes, without the end.
    static func commandLine(_ text: String, limit: Int, for kernel: any BootImage) throws(GuestBootError) -> Write {
        let bytes = Array(text.utf8)
        let limit = min(limit, LowMemory.commandLineCountMax - 1)
        guard bytes.count <= limit else {
            throw GuestBootError(kernel.name, .commandLineTooLong(bytes.count, limit: limit))
        }
        guard !bytes.contains(0) else { throw GuestBootError(kernel.name, .commandLineHasNUL) }
        return Write(address: LowMemory.commandLine, source: .bytes(bytes + [0]))
    }

    static func descriptorTable(_ registers: BootRegisters) -> Write {
        var writer = ByteWriter()
        for descriptor in registers.descriptorTable { writer.little(descriptor) }
        return Write(address: LowMemory.descriptorTable, source: .bytes(writer.bytes))
    }

    /// Places the initial RAM disk as high as it may be, above the kernel.
    ///
    /// - Parameter limit: first address it must not reach.
    static func place(
        _ initrd: any BootImage, _ map: MemoryMap, above kernelEnd: GuestAddress, below limit: GuestAddress
    ) throws(GuestBootError) -> Write {
        let count = UInt64(initrd.count)
        guard let place = map.highestPlace(count: count, from: kernelEnd, below: limit) else {
            throw GuestBootError(initrd.name, .noRoom(what: "the initial RAM disk", count: count, from: kernelEnd))
        }
        return Write(address: place, source: .initrd(0..<initrd.count))
    }

    /// The memory map, or why the kernel cannot be told of it.
    static func memoryMap(_ parameters: BootParameters, for kernel: any BootImage) throws(GuestBootError) -> MemoryMap {
        let map = MemoryMap(ram: parameters.ram, reserved: parameters.reserved)
        guard map.entries.count <= memoryMapEntriesMax else {
            throw GuestBootError(kernel.name, .tooManyMemoryRanges(map.entries.count))
        }
        // Everything below 640 KiB that is written here must be RAM.
        let low = map.entries.contains { $0.kind == .ram && $0.start == 0 && $0.end >= LowMemory.end }
        guard low else { throw GuestBootError(kernel.name, .outsideMemory(address: 0, count: Int(LowMemory.end))) }
        return map
    }

    /// As many as the table in Linux's boot parameters holds.
    static let memoryMapEntriesMax = 128
}
