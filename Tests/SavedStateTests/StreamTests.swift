import Linux
import TestFiles
import Testing

@testable import SavedState

/// A stream in memory.
final class MemoryStream: StateSink, StateSource {
    var bytes: [UInt8] = []
    private var offset = 0

    init(_ bytes: [UInt8] = []) { self.bytes = bytes }

    func write(_ pieces: UnsafeMutableBufferPointer<IOVector>) {
        for piece in pieces { bytes += UnsafeRawBufferPointer(start: piece.base, count: piece.count) }
    }

    func read(_ pieces: UnsafeMutableBufferPointer<IOVector>) -> Int {
        var total = 0
        for piece in pieces {
            let count = min(piece.count, bytes.count - offset)
            UnsafeMutableRawBufferPointer(start: piece.base, count: count).copyBytes(
                from: bytes[offset..<offset + count])
            offset += count
            total += count
            if count < piece.count { break }
        }
        return total
    }
}

/// Guest memory in two pieces: from page 0 and from page 1,000,000 on.
final class TestMemory {
    let mapping: Mapping
    let pages: Int
    private(set) var state = StateMemory()

    init(pages: Int) throws {
        self.pages = pages
        mapping = try Mapping(anonymous: pages * 4096, "memory")
        state.add(0, mapping.base, count: pages / 2 * 4096)
        state.add(1_000_000 << 12, mapping.base + pages / 2 * 4096, count: (pages - pages / 2) * 4096)
    }

    var bytes: [UInt8] {
        get { Array(UnsafeRawBufferPointer(start: mapping.base, count: pages * 4096)) }
        set { UnsafeMutableRawBufferPointer(start: mapping.base, count: pages * 4096).copyBytes(from: newValue) }
    }

    func fill(_ page: Int, _ byte: UInt8) {
        (mapping.base + page * 4096).initializeMemory(as: UInt8.self, repeating: byte, count: 4096)
    }

    func write(_ writer: StateWriter, isFirst: Bool = true) throws {
        try writer.write(0..<UInt64(pages / 2), of: state, isFirst: isFirst)
        try writer.write(1_000_000..<1_000_000 + UInt64(pages - pages / 2), of: state, isFirst: isFirst)
    }
}

@Suite("Streams of saved state")
struct StreamTests {
    private let sections = [
        StateSection(name: "rtc", version: 1, bytes: [1, 2, 3]),
        StateSection(name: "scsi0:0", version: 3, bytes: [UInt8](repeating: 9, count: 10_000)),
    ]

    private func write(_ memory: TestMemory, _ stream: MemoryStream = MemoryStream()) throws -> [UInt8] {
        let writer = try StateWriter(stream, stream: 0x1234, program: "Wafer test")
        try writer.write(sections)
        try memory.write(writer)
        try writer.finish()
        return stream.bytes
    }

    @discardableResult
    private func read(_ bytes: [UInt8], _ memory: TestMemory) throws -> (sections: [StateSection], pages: Int) {
        let reader = try StateReader(MemoryStream(bytes))
        var (sections, pages): ([StateSection], Int) = ([], 0)
        while true {
            switch try reader.next(into: memory.state) {
            case .sections(let more): sections += more
            case .pages(let count): pages += count
            case .end: return (sections, pages)
            }
        }
    }

    private func memory(_ pages: Int = 64) throws -> TestMemory {
        let memory = try TestMemory(pages: pages)
        for page in [0, 1, 2, 7, 31, 32, 63] where page < pages { memory.fill(page, UInt8(page + 1)) }
        return memory
    }

    @Test("sections and memory come back as they were, without the pages of zeros")
    func roundTrip() throws {
        let original = try memory()
        let copy = try TestMemory(pages: 64)
        let bytes = try write(original)
        let result = try read(bytes, copy)
        #expect(result.sections == sections)
        #expect(result.pages == 7)
        let isSame = copy.bytes == original.bytes
        #expect(isSame)
        #expect(bytes.count == 4096 * (1 + 3 + 1 + 7 + 1))
    }

    @Test("memory may come in rounds: the last word counts, zeros too")
    func rounds() throws {
        let original = try memory()
        let copy = try TestMemory(pages: 64)
        let stream = MemoryStream()
        let writer = try StateWriter(stream, stream: 1, program: "")
        try original.write(writer)
        original.fill(7, 0)
        original.fill(8, 77)
        try writer.write(7..<9, of: original.state, isFirst: false)
        try writer.write(sections)
        try writer.finish()
        #expect(try read(stream.bytes, copy).sections == sections)
        let isSame = copy.bytes == original.bytes
        #expect(isSame)
    }

    @Test("more pages and more gaps than a record holds are spread over several")
    func large() throws {
        let original = try TestMemory(pages: 3000)
        for page in 0..<3000 where page % 3 != 0 || page > 2000 { original.fill(page, UInt8(page % 255 + 1)) }
        let copy = try TestMemory(pages: 3000)
        let bytes = try write(original)
        try read(bytes, copy)
        let isSame = copy.bytes == original.bytes
        #expect(isSame)
    }

    @Test("a byte that changed anywhere is found before the end")
    func damage() throws {
        let bytes = try write(memory())
        for offset in stride(from: 0, to: bytes.count, by: 97) {
            var changed = bytes
            changed[offset] ^= 0x10
            #expect(throws: StateError.self, "byte \(offset)") { try read(changed, TestMemory(pages: 64)) }
        }
    }

    @Test("a stream that was cut off anywhere is not taken for a whole one")
    func truncation() throws {
        let bytes = try write(memory())
        for count in stride(from: 0, to: bytes.count, by: 512) {
            #expect(throws: StateError.self, "\(count) bytes") {
                try read(Array(bytes[..<count]), TestMemory(pages: 64))
            }
        }
        // A record in the middle is missing.
        #expect(throws: StateError.self) {
            try read(Array(bytes[..<4096] + bytes[(4 * 4096)...]), TestMemory(pages: 64))
        }
    }

    @Test("a format that is not known yet is named; what is something else is said to be")
    func versions() throws {
        var bytes = try write(memory())
        bytes[8] = 2
        #expect(throws: StateError.futureFormat(version: 2, newest: 1)) { try read(bytes, TestMemory(pages: 64)) }
        bytes[0] = 0
        #expect(throws: StateError.notState("it does not begin like it")) { try read(bytes, TestMemory(pages: 64)) }
        #expect(throws: StateError.notState("it has 3 bytes")) { try read([1, 2, 3], TestMemory(pages: 64)) }
    }

    @Test("pages that the machine does not have are refused")
    func foreignPages() throws {
        let bytes = try write(memory())
        #expect(
            throws: StateError.mismatch(section: "memory", "1 pages from 31 on are not memory of this machine")
        ) { try read(bytes, TestMemory(pages: 50)) }
    }

    @Test("a file has its name when it is whole, and not before")
    func files() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/machine.vmss"
            let original = try memory()
            do {
                let sink = try StateFileSink(path)
                let writer = try StateWriter(sink, stream: 5, program: "")
                try original.write(writer)
                try writer.finish()
                #expect(!fileExists(path))
                try sink.finish()
            }
            #expect(try listDirectory(directory) == ["machine.vmss"])
            let reader = try StateReader(StateFileSource(path))
            let copy = try TestMemory(pages: 64)
            while try reader.next(into: copy.state) != .end {}
            let isSame = copy.bytes == original.bytes
            #expect(isSame)
            do { _ = try StateFileSink(path) }
            #expect(try listDirectory(directory) == ["machine.vmss"])
        }
    }
}
