import Messages
import Testing

@Suite("Messages")
struct FieldsTests {
    enum Color: UInt8, MessageField { case red = 1, green }

    @Test("fields come back as they were written, and the layout is little-endian with lengths first")
    func roundTrip() throws {
        var writer = FieldWriter()
        writer.write(UInt16(0x1234))
        writer.write("Zürich")
        writer.write(["a", "b"])
        writer.write(Optional<UInt32>.none)
        writer.write(UInt8?(7))
        writer.write(Color.green)
        writer.write(true)
        #expect(writer.bytes.prefix(6) == [0x34, 0x12, 7, 0, 0, 0])
        var reader = FieldReader(writer.bytes)
        #expect(try reader.read(UInt16.self) == 0x1234)
        #expect(try reader.read(String.self) == "Zürich")
        #expect(try reader.read([String].self) == ["a", "b"])
        #expect(try reader.read(UInt32?.self) == nil)
        #expect(try reader.read(UInt8?.self) == 7)
        #expect(try reader.read(Color.self) == .green)
        #expect(try reader.read(Bool.self))
        try reader.finish()
    }

    @Test(
        "what is not a field is refused",
        arguments: [
            ([1, 0, 0, 0, 0xff], MessageError.notText), ([9, 0, 0, 0, 0x41], .truncated), ([1, 0], .truncated),
            ([0xff, 0xff, 0xff, 0xff], .truncated),
        ])
    func badText(bytes: [UInt8], error: MessageError) {
        var reader = FieldReader(bytes)
        #expect(throws: error) { try reader.read(String.self) }
    }

    @Test("unknown values, claimed lengths and trailing bytes are errors, not traps")
    func badValues() throws {
        var reader = FieldReader([3])
        #expect(throws: MessageError.unknownValue(3)) { try reader.read(Color.self) }
        reader = FieldReader([2])
        #expect(throws: MessageError.unknownValue(2)) { try reader.read(Bool.self) }
        reader = FieldReader([0xff, 0xff, 0xff, 0xff, 1, 2])
        #expect(throws: MessageError.truncated) { try reader.read([UInt32].self) }
        reader = FieldReader([1, 2])
        _ = try reader.read(UInt8.self)
        #expect(throws: MessageError.trailing(1)) { try reader.finish() }
    }

    @Test("frames are cut out of a stream however it arrives")
    func stream() throws {
        let frames = [Frame(kind: 1, request: 7), Frame(kind: 2, request: 8, payload: [1, 2, 3])]
        let bytes = frames.flatMap(\.bytes)
        for step in 1...bytes.count {
            var parser = FrameParser()
            var seen: [Frame] = []
            for start in stride(from: 0, to: bytes.count, by: step) {
                parser.feed(Array(bytes[start..<min(start + step, bytes.count)]))
                while let frame = try parser.next() { seen.append(frame) }
            }
            #expect(seen == frames)
        }
    }

    @Test("a wrong version and an absurd length end the stream")
    func hostileFrames() {
        var parser = FrameParser()
        parser.feed([0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])
        #expect(throws: MessageError.version(2)) { try parser.next() }
        parser = FrameParser()
        parser.feed([0, 0, 0x20, 0, 1, 0, 0, 0, 0, 0, 0, 0])
        #expect(throws: MessageError.tooLong(0x20_0000)) { try parser.next() }
    }
}
