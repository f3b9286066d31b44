import Bytes
import Testing

@Suite("Byte cursors")
struct ByteCursorTests {
    @Test("what a writer lays out, a reader reads back")
    func roundTrip() throws {
        var writer = ByteWriter()
        writer.little(UInt32(0x1122_3344))
        writer.big(UInt16(0xabcd))
        writer.text("AB", width: 4)
        writer.align(to: 16)
        writer.patch(at: 0, little: UInt16(0x5566))
        #expect(writer.bytes == [0x66, 0x55, 0x22, 0x11, 0xab, 0xcd, 0x41, 0x42, 0, 0, 0, 0, 0, 0, 0, 0])

        var reader = ByteReader(writer.bytes.span)
        #expect(try reader.little(UInt32.self) == 0x1122_5566)
        #expect(try reader.big(UInt16.self) == 0xabcd)
        #expect(try reader.array(2) == [0x41, 0x42])
        #expect(reader.remaining == 8)
    }

    @Test("reading past the end says where and how much was missing")
    func bounds() throws {
        let bytes: [UInt8] = [1, 2, 3]
        var reader = ByteReader(bytes.span)
        try reader.skip(2)
        var caught: OutOfBounds?
        do { _ = try reader.little(UInt32.self) } catch { caught = error }
        #expect(caught == OutOfBounds(offset: 2, needed: 4, available: 3))
        caught = nil
        do { try reader.seek(to: 4) } catch { caught = error }
        #expect(caught != nil)
    }
}
