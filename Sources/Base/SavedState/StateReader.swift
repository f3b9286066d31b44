import CLinux
import Linux

/// Reads a stream of saved state. Foreign bytes: every number is checked, and every byte before anything is made of it but memory, which
/// is not to be used before the end was seen.
@safe public final class StateReader {
    /// What comes next.
    public enum Record: Equatable {
        case sections([StateSection])
        /// So many pages went into memory.
        case pages(Int)
        /// The stream is whole.
        case end
    }

    private let source: any StateSource
    private let stream: UInt64
    private var number: UInt64 = 0
    private var pages: UInt64 = 0
    private var offset: UInt64 = 0
    private let head: Mapping
    private let vectors: UnsafeMutableBufferPointer<IOVector>
    /// What wrote the stream, for people.
    public let program: String

    /// Begins to read.
    public init(_ source: any StateSource) throws(StateError) {
        self.source = source
        do throws(SystemError) {
            head = try Mapping(anonymous: StateFormat.page, "a record's head")
        } catch { throw .system(error) }
        let head = head
        unsafe vectors = .allocate(capacity: StateFormat.Limit.runs + 1)
        let vectors = unsafe vectors
        do throws(StateError) {
            unsafe vectors[0] = IOVector(base: head.base, count: StateFormat.page)
            let count = unsafe try source.read(UnsafeMutableBufferPointer(rebasing: vectors[..<1]))
            guard count == StateFormat.page else { throw .notState("it has \(count) bytes") }
            let first = unsafe Array(UnsafeRawBufferPointer(start: head.base, count: count))
            guard first.starts(with: StateFormat.magic) else { throw .notState("it does not begin like it") }
            var coder = FieldCoder(reading: Array(first[8..<24]), version: StateFormat.version)
            var (version, checksum, stream): (UInt32, UInt32, UInt64) = (0, 0, 0)
            coder.field(&version)
            coder.field(&checksum)
            coder.field(&stream)
            guard version > 0, version <= StateFormat.version else {
                throw .futureFormat(version: version, newest: StateFormat.version)
            }
            self.stream = stream
            unsafe head.base.storeBytes(of: 0, toByteOffset: 12, as: UInt32.self)
            guard unsafe wafer_crc32c(0, head.base, count) == checksum else {
                throw .damaged(offset: 0, "the checksum is wrong")
            }
            let text = first[24..<88].prefix { $0 != 0 }
            program = String(decoding: text, as: UTF8.self)
            offset = UInt64(count)
        } catch {
            unsafe vectors.deallocate()
            throw error
        }
    }

    deinit { unsafe vectors.deallocate() }

    /// Reads the next record.
    ///
    /// - Parameter memory: where pages go.
    public func next(into memory: StateMemory) throws(StateError) -> Record {
        unsafe vectors[0] = IOVector(base: head.base, count: StateFormat.page)
        try read(1, StateFormat.page)
        let first = unsafe Array(UnsafeRawBufferPointer(start: head.base, count: StateFormat.page))
        var coder = FieldCoder(reading: first, version: StateFormat.version)
        var record = StateRecordHead()
        record.code(&coder)
        guard record.stream == stream, record.number == number else { throw damaged("another record stands here") }
        guard let kind = StateFormat.Kind(rawValue: record.kind) else {
            throw damaged("a record of kind \(record.kind) is not known")
        }
        unsafe head.base.storeBytes(of: 0, toByteOffset: 4, as: UInt32.self)
        let checksum = unsafe wafer_crc32c(0, head.base, StateFormat.page)
        let result: Record
        switch kind {
        case .pages:
            result = .pages(try readPages(record, first, checksum, memory))
        case .sections, .end:
            let payload = try readPayload(record, first, checksum)
            result = kind == .end ? try end(payload) : .sections(try sections(payload))
        }
        number += 1
        return result
    }

    private func damaged(_ reason: String) -> StateError { .damaged(offset: offset, reason) }

    private func read(_ pieces: Int, _ count: Int) throws(StateError) {
        let done = unsafe try source.read(UnsafeMutableBufferPointer(rebasing: vectors[..<pieces]))
        guard done == count else { throw damaged("it ends here, and is not whole") }
    }

    // MARK: Sections

    private func readPayload(
        _ record: StateRecordHead, _ first: [UInt8], _ checksum: UInt32
    ) throws(StateError) -> [UInt8] {
        guard record.count <= UInt64(StateFormat.Limit.sectionBytes) else {
            throw damaged("a record of \(record.count) bytes")
        }
        let total = StateFormat.headSize + Int(record.count)
        let rest = StateFormat.padded(total) - StateFormat.page
        var bytes = first
        var checksum = checksum
        if rest > 0 {
            let buffer: Mapping
            do throws(SystemError) {
                buffer = try Mapping(anonymous: rest, "a record")
            } catch { throw .system(error) }
            unsafe vectors[0] = IOVector(base: buffer.base, count: rest)
            try read(1, rest)
            unsafe checksum = wafer_crc32c(checksum, buffer.base, rest)
            unsafe bytes += UnsafeRawBufferPointer(start: buffer.base, count: rest)
        }
        guard checksum == record.checksum else { throw damaged("the checksum is wrong") }
        offset += UInt64(StateFormat.page + rest)
        return Array(bytes[StateFormat.headSize..<total])
    }

    private func sections(_ payload: [UInt8]) throws(StateError) -> [StateSection] {
        var coder = FieldCoder(reading: payload, version: StateFormat.version)
        var sections: [StateSection] = []
        coder.list(&sections, limit: StateFormat.Limit.sections, "sections")
        try coder.finish("the list of sections")
        var names = Set<String>()
        for section in sections where !names.insert(section.name).inserted { throw .doubledSection(section.name) }
        return sections
    }

    private func end(_ payload: [UInt8]) throws(StateError) -> Record {
        var coder = FieldCoder(reading: payload, version: StateFormat.version)
        var (records, pages): (UInt64, UInt64) = (0, 0)
        coder.field(&records)
        coder.field(&pages)
        try coder.finish("the end")
        guard records == number, pages == self.pages else { throw damaged("records are missing") }
        return .end
    }

    // MARK: Memory

    private func readPages(
        _ record: StateRecordHead, _ first: [UInt8], _ checksum: UInt32, _ memory: StateMemory
    ) throws(StateError) -> Int {
        var coder = FieldCoder(reading: Array(first[StateFormat.headSize...]), version: StateFormat.version)
        var (count, nothing): (UInt32, UInt32) = (0, 0)
        coder.field(&count)
        coder.field(&nothing)
        guard count > 0, count <= StateFormat.Limit.runs else { throw damaged("\(count) runs of pages") }
        var used = 0
        var data = 0
        for _ in 0..<count {
            var (page, pages, content): (UInt64, UInt32, UInt32) = (0, 0, 0)
            coder.field(&page)
            coder.field(&pages)
            coder.field(&content)
            guard pages > 0, let base = unsafe memory.pointer(page, Int(pages)) else {
                throw .mismatch(section: "memory", "\(pages) pages from \(page) on are not memory of this machine")
            }
            if content == StateFormat.Content.zeros {
                unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: Int(pages) * StateFormat.page)
                continue
            }
            guard content == StateFormat.Content.data, Int(pages) <= StateFormat.Limit.pages - data else {
                throw damaged("a run of \(pages) pages, content \(content)")
            }
            data += Int(pages)
            unsafe vectors[used] = IOVector(base: base, count: Int(pages) * StateFormat.page)
            used += 1
        }
        let bytes = data * StateFormat.page
        guard record.count == UInt64(StateFormat.page - StateFormat.headSize + bytes) else {
            throw damaged("a record of \(record.count) bytes for \(data) pages")
        }
        // The kernel's read uses the list up.
        let places = unsafe Array(vectors[..<used])
        if used > 0 { try read(used, bytes) }
        var checksum = checksum
        for index in unsafe places.indices {
            unsafe checksum = wafer_crc32c(checksum, places[index].base, places[index].count)
        }
        guard checksum == record.checksum else { throw damaged("the checksum is wrong") }
        offset += UInt64(StateFormat.page + bytes)
        pages += UInt64(data)
        return data
    }
}
