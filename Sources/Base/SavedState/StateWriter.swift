import CLinux
import Linux

/// Writes a machine's state as a stream: sections and pages of memory, in any order and as often as it takes, and an end.
///
/// A page that comes again replaces what came before, so memory can be sent while the guest still runs and what it changed
/// meanwhile sent again. Pages are written from where they lie; nothing is allocated for them.
@safe public final class StateWriter {
    private let sink: any StateSink
    private let stream: UInt64
    private var number: UInt64 = 0
    /// The first page of a record of pages.
    private let head: Mapping
    private let vectors: UnsafeMutableBufferPointer<IOVector>
    private var runs: [Run] = []
    private var pagesHeld = 0
    /// Pages of data written so far.
    public private(set) var pagesWritten: UInt64 = 0

    @safe private struct Run {
        var firstPage: UInt64
        var pages: Int
        var base: UnsafeMutableRawPointer?
    }

    /// Begins a stream.
    ///
    /// - Parameters:
    ///   - stream: a number that no other stream has: random.
    ///   - program: what writes it, for people; at most 64 bytes.
    public init(_ sink: any StateSink, stream: UInt64, program: String) throws(StateError) {
        self.sink = sink
        self.stream = stream
        do throws(SystemError) {
            head = try Mapping(anonymous: StateFormat.page, "a record's head")
        } catch { throw .system(error) }
        unsafe vectors = .allocate(capacity: StateFormat.Limit.runs + 1)
        runs.reserveCapacity(StateFormat.Limit.runs)
        var first = StateFormat.magic
        var coder = FieldCoder(writing: StateFormat.version)
        var (version, checksum, stream): (UInt32, UInt32, UInt64) = (StateFormat.version, 0, stream)
        coder.field(&version)
        coder.field(&checksum)
        coder.field(&stream)
        first += coder.bytes
        first += program.utf8.prefix(64)
        try write(first, checksumAt: 12)
    }

    deinit { unsafe vectors.deallocate() }

    // MARK: Sections

    /// Writes sections, all of which a reader gets together.
    public func write(_ sections: [StateSection]) throws(StateError) {
        try flush()
        var names = Set<String>()
        var payload = FieldCoder(writing: StateFormat.version)
        var count = UInt32(clamping: sections.count)
        payload.field(&count)
        for section in sections {
            guard names.insert(section.name).inserted else { throw .doubledSection(section.name) }
            var section = section
            section.code(&payload)
        }
        if payload.bytes.count > StateFormat.Limit.sectionBytes {
            throw .cannotSave(section: "all", "\(payload.bytes.count) bytes of state are too many")
        }
        try write(.sections, payload.bytes)
    }

    /// Ends the stream.
    public func finish() throws(StateError) {
        try flush()
        var payload = FieldCoder(writing: StateFormat.version)
        var (records, pages) = (number, pagesWritten)
        payload.field(&records)
        payload.field(&pages)
        try write(.end, payload.bytes)
    }

    private func write(_ kind: StateFormat.Kind, _ payload: [UInt8]) throws(StateError) {
        var coder = FieldCoder(writing: StateFormat.version)
        var head = nextHead(kind, payload.count)
        head.code(&coder)
        let bytes = coder.bytes + [UInt8](repeating: 0, count: StateFormat.headSize - coder.bytes.count) + payload
        try write(bytes, checksumAt: 4)
    }

    private func nextHead(_ kind: StateFormat.Kind, _ count: Int) -> StateRecordHead {
        defer { number += 1 }
        return StateRecordHead(kind: kind.rawValue, count: UInt64(count), number: number, stream: stream)
    }

    /// Writes bytes, filled up to whole pages, with the checksum of all.
    private func write(_ bytes: [UInt8], checksumAt place: Int) throws(StateError) {
        let count = StateFormat.padded(bytes.count)
        let copy: Mapping
        do throws(SystemError) {
            copy = try Mapping(anonymous: count, "a record")
        } catch { throw .system(error) }
        unsafe bytes.withUnsafeBytes { source in
            if let base = source.baseAddress { unsafe copy.base.copyMemory(from: base, byteCount: source.count) }
        }
        let checksum = unsafe wafer_crc32c(0, copy.base, count)
        unsafe copy.base.storeBytes(of: checksum.littleEndian, toByteOffset: place, as: UInt32.self)
        unsafe vectors[0] = IOVector(base: copy.base, count: count)
        unsafe try sink.write(UnsafeMutableBufferPointer(rebasing: vectors[..<1]))
    }

    // MARK: Memory

    /// Writes pages of memory.
    ///
    /// - Parameters:
    ///   - pages: numbers of guest pages, all of which are in `memory`.
    ///   - isFirst: the other side's memory is all zeros yet, so that pages of zeros can be left out.
    public func write(_ pages: Range<UInt64>, of memory: StateMemory, isFirst: Bool) throws(StateError) {
        for page in pages {
            guard let base = unsafe memory.pointer(page, 1) else {
                throw .cannotSave(section: "memory", "there is no page \(page)")
            }
            if unsafe StateMemory.isZero(base) {
                if !isFirst { unsafe try add(page, nil) }
            } else {
                unsafe try add(page, base)
            }
        }
    }

    private func add(_ page: UInt64, _ base: UnsafeMutableRawPointer?) throws(StateError) {
        let last = runs.count - 1
        let isData = unsafe base != nil
        if last >= 0, runs[last].firstPage + UInt64(runs[last].pages) == page,
            unsafe (runs[last].base != nil) == isData, unsafe isContiguous(last, base)
        {
            runs[last].pages += 1
        } else {
            if runs.count == StateFormat.Limit.runs { try flush() }
            unsafe runs.append(Run(firstPage: page, pages: 1, base: base))
        }
        if isData {
            pagesHeld += 1
            if pagesHeld == StateFormat.Limit.pages { try flush() }
        }
    }

    /// Regions may touch where the guest sees them and not where they lie.
    private func isContiguous(_ run: Int, _ base: UnsafeMutableRawPointer?) -> Bool {
        guard let base = unsafe base, let start = unsafe runs[run].base else { return true }
        return unsafe start + runs[run].pages * StateFormat.page == base
    }

    /// Writes the pages that are held back to be written together.
    public func flush() throws(StateError) {
        guard !runs.isEmpty else { return }
        var coder = FieldCoder(writing: StateFormat.version)
        let payload = StateFormat.page - StateFormat.headSize + pagesHeld * StateFormat.page
        var head = nextHead(.pages, payload)
        head.code(&coder)
        var table = coder.bytes
        table += [UInt8](repeating: 0, count: StateFormat.headSize - table.count)
        var entries = FieldCoder(writing: StateFormat.version)
        var (count, nothing) = (UInt32(runs.count), UInt32(0))
        entries.field(&count)
        entries.field(&nothing)
        for run in runs {
            var (page, pages) = (run.firstPage, UInt32(run.pages))
            var content = unsafe run.base == nil ? StateFormat.Content.zeros : StateFormat.Content.data
            entries.field(&page)
            entries.field(&pages)
            entries.field(&content)
        }
        table += entries.bytes
        unsafe self.head.base.initializeMemory(as: UInt8.self, repeating: 0, count: StateFormat.page)
        unsafe table.withUnsafeBytes { source in
            if let base = source.baseAddress { unsafe self.head.base.copyMemory(from: base, byteCount: source.count) }
        }
        var checksum = unsafe wafer_crc32c(0, self.head.base, StateFormat.page)
        unsafe vectors[0] = IOVector(base: self.head.base, count: StateFormat.page)
        var used = 1
        for run in runs {
            guard let base = unsafe run.base else { continue }
            let count = run.pages * StateFormat.page
            unsafe checksum = wafer_crc32c(checksum, base, count)
            unsafe vectors[used] = IOVector(base: base, count: count)
            used += 1
        }
        unsafe self.head.base.storeBytes(of: checksum.littleEndian, toByteOffset: 4, as: UInt32.self)
        pagesWritten += UInt64(pagesHeld)
        pagesHeld = 0
        runs.removeAll(keepingCapacity: true)
        unsafe try sink.write(UnsafeMutableBufferPointer(rebasing: vectors[..<used]))
    }
}

extension StateSection: FieldCoded {
    public init() { self.init(name: "", version: 0, bytes: []) }

    public mutating func code(_ coder: inout FieldCoder) {
        coder.text(&name, limit: StateFormat.Limit.nameBytes, "section name")
        coder.check(!name.isEmpty, "it is empty")
        coder.field(&version, "section version")
        coder.blob(&bytes, limit: StateFormat.Limit.sectionBytes, "section bytes")
    }
}
