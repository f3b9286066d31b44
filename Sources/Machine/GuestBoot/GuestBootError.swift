/// Why a kernel or an initial RAM disk cannot be booted: which image, and what is wrong with it.
public struct GuestBootError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The image's name as the administrator knows it, such as a path.
    public var image: String
    public var problem: Problem

    public init(_ image: String, _ problem: Problem) {
        self.image = image
        self.problem = problem
    }

    /// What is wrong. Addresses and sizes are in bytes.
    public enum Problem: Equatable, Sendable {
        case unreadable(String)
        case notAFile
        case changedWhileRead(offset: Int)
        case notAKernel
        case truncated(what: String, offset: Int, needed: Int, available: Int)
        // bzImage
        case bootFlagMissing
        case headerMagicMissing
        case protocolTooOld(UInt16)
        case notLoadedHigh
        case no64BitEntry
        case badAlignment(UInt32)
        case kernelEmpty
        // ELF
        case notX86ELF(String)
        case tooManyProgramHeaders(Int)
        case noLoadableSegment
        case badSegment(Int, String)
        case segmentsOverlap
        case badNotes(String)
        case noPVHEntry
        case entryOutsideSegments(UInt64)
        // the machine
        case noRoom(what: String, count: UInt64, from: UInt64)
        case commandLineTooLong(Int, limit: Int)
        case commandLineHasNUL
        case tooManyMemoryRanges(Int)
        case outsideMemory(address: UInt64, count: Int)
    }

    public var description: String { "\(image): \(problem.description)" }
}

extension GuestBootError.Problem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unreadable(let reason): reason
        case .notAFile: "not a regular file"
        case .changedWhileRead(let offset): "the file ended at offset \(hex(offset)) while it was read; it has shrunk"
        case .notAKernel: "neither a Linux bzImage nor an ELF file"
        case .truncated(let what, let offset, let needed, let available):
            "\(what) at \(hex(offset)) needs \(needed) bytes, but the file has \(available) in all"
        case .bootFlagMissing: "boot flag 0xaa55 missing at 0x1fe"
        case .headerMagicMissing: "setup header magic missing at 0x202"
        case .protocolTooOld(let version):
            "boot protocol \(version >> 8).\(version & 0xff) is older than 2.12, the first with a 64-bit entry"
        case .notLoadedHigh: "a kernel to be loaded below 1 MiB (zImage) is not supported"
        case .no64BitEntry: "the kernel has no 64-bit entry (bit 0 of xloadflags at 0x236)"
        case .badAlignment(let alignment): "kernel alignment \(hex(alignment)) at 0x230 is not a power of two"
        case .kernelEmpty: "there is no kernel behind the setup code"
        case .notX86ELF(let what): "not an x86-64 ELF kernel: \(what)"
        case .tooManyProgramHeaders(let count): "\(count) program headers are more than a kernel has"
        case .noLoadableSegment: "no program header describes anything to load"
        case .badSegment(let index, let what): "program header \(index): \(what)"
        case .segmentsOverlap: "two segments claim the same memory"
        case .badNotes(let what): "ELF notes: \(what)"
        case .noPVHEntry: "the ELF notes name no PVH entry (type 18), so there is no way to start it"
        case .entryOutsideSegments(let entry): "the entry \(hex(entry)) lies outside what is loaded"
        case .noRoom(let what, let count, let start):
            "\(what) needs \(megabytes(count)) of memory at \(hex(start)) or above and below 4 GiB; give the machine more"
        case .commandLineTooLong(let count, let limit):
            "the command line has \(count) bytes, but this kernel takes \(limit)"
        case .commandLineHasNUL: "the command line contains a NUL character"
        case .tooManyMemoryRanges(let count): "\(count) memory ranges are more than the 128 a kernel can be told of"
        case .outsideMemory(let address, let count): "\(count) bytes at \(hex(address)) are not guest memory"
        }
    }

    private func megabytes(_ count: UInt64) -> String {
        count < 1 << 20 ? "\(count) bytes" : "\((count - 1) >> 20 + 1) MiB"
    }
}

private func hex(_ value: some BinaryInteger) -> String { "0x" + String(value, radix: 16) }
