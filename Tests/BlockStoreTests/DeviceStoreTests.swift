import BlockStore
import Linux
import TestFiles
import Testing

@Suite("Files and devices as block stores")
struct DeviceStoreTests {
    @Test("what is written anywhere is read back, and the rest stays zero")
    func readingBack() throws {
        try withTemporaryDirectory { directory in
            let store = try DeviceStore(file: "\(directory)/disk", size: 4 << 20)
            #expect(store.size == 4 << 20)
            // Longer than the buffer, and neither beginning nor ending at a block.
            let bytes = (0..<1_500_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            try store.write(bytes, at: 1001)
            try store.flush()
            store.dropCache()
            #expect(try store.read(bytes.count, at: 1001) == bytes)
            #expect(try store.read(1001, at: 0).allSatisfy { $0 == 0 })
            #expect(try store.read(1000, at: 1001 + UInt64(bytes.count)).allSatisfy { $0 == 0 })
            // It stays when opened again, and is not cut.
            let again = try DeviceStore(file: "\(directory)/disk", size: 1 << 20)
            #expect(again.size == 4 << 20)
            #expect(try again.read(10, at: 1001) == Array(bytes[..<10]))
        }
    }

    @Test("nothing is read or written beyond the end")
    func bounds() throws {
        try withTemporaryDirectory { directory in
            let store = try DeviceStore(file: "\(directory)/disk", size: 4096)
            for (count, offset) in [(1, UInt64(4096)), (4097, 0), (1, .max), (2, 4095)] {
                #expect(throws: SystemError.self) { try store.read(count, at: offset) }
                #expect(throws: SystemError.self) { try store.write([UInt8](repeating: 1, count: count), at: offset) }
            }
            try store.write([5], at: 4095)
            #expect(try store.read(1, at: 4095) == [5])
            #expect(try store.read(0, at: 4096) == [])
        }
    }

    @Test("a directory is no disk")
    func directories() throws {
        #expect(throws: SystemError.self) { try DeviceStore("/tmp", writable: false) }
    }
}
