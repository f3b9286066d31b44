import Bytes

/// An ELF kernel with a PVH entry: what to load where, and where to start.
struct ELFImage: Equatable, Sendable {
    /// A piece of the file and the memory it fills.
    struct Segment: Equatable, Sendable {
        /// Where in the file it is.
        var file: Range<Int>
        /// Physical address.
        var address: UInt64
        /// Length in memory; what the file does not give is zero.
        var memoryCount: UInt64
    }

    /// In order of address, none empty, none overlapping.
    let segments: [Segment]
    /// Physical address of the 32-bit entry.
    let entry: UInt32

    static let magic: [UInt8] = [0x7f, 0x45, 0x4c, 0x46]
    private static let headerCount = 64
    private static let programHeaderCount = 56
    /// Far more than any kernel has; bounds the work that a file can ask for.
    private static let programHeadersMax = 128
    private static let notesCountMax = 1 << 16

    private struct ProgramHeader {
        static let load: UInt32 = 1
        static let note: UInt32 = 4

        var type: UInt32
        var offset: UInt64
        var address: UInt64
        var fileCount: UInt64
        var memoryCount: UInt64
        var alignment: UInt64

        init(_ fields: Fields) {
            type = fields[0]
            offset = fields[8]
            address = fields[24]
            fileCount = fields[32]
            memoryCount = fields[40]
            alignment = fields[48]
        }
    }

    init(_ image: some BootImage) throws(GuestBootError) {
        let headers = try Self.programHeaders(image)
        segments = try Self.segments(headers, image)
        entry = try Self.pvhEntry(headers, image)
        let place = UInt64(entry)
        guard segments.contains(where: { $0.address <= place && place - $0.address < UInt64($0.file.count) }) else {
            throw GuestBootError(image.name, .entryOutsideSegments(place))
        }
    }

    /// Checks the file header (System V ABI, ELF header) and reads the program headers.
    private static func programHeaders(_ image: some BootImage) throws(GuestBootError) -> [ProgramHeader] {
        func fail(_ what: String) -> GuestBootError { GuestBootError(image.name, .notX86ELF(what)) }
        let header = try image.read("the ELF header", at: 0, count: headerCount)
        guard header[4] == 2 else { throw fail("not of the 64-bit class") }
        guard header[5] == 1 else { throw fail("not little-endian") }
        let fields = Fields(header)
        let machine: UInt16 = fields[18]
        guard machine == 62 else { throw fail("made for machine \(machine)") }
        let type: UInt16 = fields[16]
        guard type == 2 || type == 3 else { throw fail("type \(type) is no executable") }
        let headerSize: UInt16 = fields[54]
        guard Int(headerSize) == programHeaderCount else { throw fail("program headers of \(headerSize) bytes") }
        let count: UInt16 = fields[56]
        guard Int(count) <= programHeadersMax else {
            throw GuestBootError(image.name, .tooManyProgramHeaders(Int(count)))
        }
        let position: UInt64 = fields[32]
        let bytes = try image.read(
            "the program headers", at: Int(clamping: position), count: Int(count) * programHeaderCount)
        return (0..<Int(count)).map { index in
            let start = index * programHeaderCount
            return ProgramHeader(Fields(Array(bytes[start..<start + programHeaderCount])))
        }
    }

    private static func segments(
        _ headers: [ProgramHeader], _ image: some BootImage
    ) throws(GuestBootError) -> [Segment] {
        var segments: [Segment] = []
        for (index, header) in headers.enumerated() where header.type == ProgramHeader.load && header.memoryCount > 0 {
            func fail(_ what: String) -> GuestBootError { GuestBootError(image.name, .badSegment(index, what)) }
            guard header.fileCount <= header.memoryCount else { throw fail("more bytes in the file than in memory") }
            let total = UInt64(image.count)
            guard header.fileCount == 0 || (header.offset <= total && header.fileCount <= total - header.offset) else {
                throw fail("reaches past the end of the file")
            }
            guard header.memoryCount <= UInt64(1) << 32, header.address < UInt64(1) << 32 else {
                throw fail("lies beyond 4 GiB")
            }
            let start = header.fileCount == 0 ? 0 : Int(header.offset)
            segments.append(
                Segment(
                    file: start..<start + Int(header.fileCount), address: header.address,
                    memoryCount: header.memoryCount))
        }
        guard !segments.isEmpty else { throw GuestBootError(image.name, .noLoadableSegment) }
        segments.sort { $0.address < $1.address }
        for (one, next) in zip(segments, segments.dropFirst()) where one.address + one.memoryCount > next.address {
            throw GuestBootError(image.name, .segmentsOverlap)
        }
        return segments
    }

    // MARK: Notes

    /// The entry that a note of type 18 of owner "Xen" names (Xen's public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY).
    private static func pvhEntry(_ headers: [ProgramHeader], _ image: some BootImage) throws(GuestBootError) -> UInt32 {
        for header in headers where header.type == ProgramHeader.note {
            guard header.fileCount <= UInt64(notesCountMax) else {
                throw GuestBootError(image.name, .badNotes("\(header.fileCount) bytes are too many"))
            }
            let bytes = try image.read("the ELF notes", at: Int(clamping: header.offset), count: Int(header.fileCount))
            let entry: UInt64?
            do throws(OutOfBounds) {
                entry = try pvhEntry(inNotes: bytes, alignment: header.alignment == 8 ? 8 : 4)
            } catch {
                throw GuestBootError(image.name, .badNotes("\(error)"))
            }
            guard let entry else { continue }
            guard let shortEntry = UInt32(exactly: entry) else {
                throw GuestBootError(image.name, .entryOutsideSegments(entry))
            }
            return shortEntry
        }
        throw GuestBootError(image.name, .noPVHEntry)
    }

    private static func pvhEntry(inNotes bytes: [UInt8], alignment: Int) throws(OutOfBounds) -> UInt64? {
        var reader = ByteReader(bytes.span)
        // Something shorter than a note's header is padding.
        while reader.remaining >= 12 {
            let nameCount = try reader.little(UInt32.self)
            let valueCount = try reader.little(UInt32.self)
            let type = try reader.little(UInt32.self)
            let name = try padded(&reader, Int(nameCount), alignment)
            let value = try padded(&reader, Int(valueCount), alignment)
            guard type == 18, name == Array("Xen\0".utf8) else { continue }
            let fields = Fields(value)
            switch value.count {
            case 4:
                let entry: UInt32 = fields[0]
                return UInt64(entry)
            case 8: return fields[0]
            default: continue
            }
        }
        return nil
    }

    /// The next `count` bytes; also steps over the padding behind them, of which the last may be missing.
    @_lifetime(reader: copy reader)
    private static func padded(
        _ reader: inout ByteReader, _ count: Int, _ alignment: Int
    ) throws(OutOfBounds) -> [UInt8] {
        let bytes = try reader.array(count)
        let excess = reader.offset % alignment
        if excess != 0 { try reader.skip(min(alignment - excess, reader.remaining)) }
        return bytes
    }
}
