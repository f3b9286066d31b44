import Testing

@testable import Boot

@Suite("Lab frames")
struct LabFrameTests {
    private let hello = LabFrame.magic + [1, 0, 0, 0] + [1, 2, 3, 4, 5, 6, 7, 8]

    private func greetedReader() -> LabFrameReader {
        var reader = LabFrameReader()
        reader.append(hello)
        #expect(reader.next() == .hello(hello))
        return reader
    }

    @Test("a hello is found behind the remains of an earlier stream")
    func resynchronises() {
        var reader = LabFrameReader()
        reader.append([1, 2, 3] + LabFrame.magic.prefix(3))
        #expect(reader.next() == nil)
        reader.append([9] + hello)
        #expect(reader.next() == .hello(hello))
    }

    @Test("frames come out whole however they are cut")
    func reassembles() {
        var reader = greetedReader()
        let stream = LabFrame.encode(.data, channel: 7, [0, 65]) + LabFrame.encode(.close, channel: 8)
        for byte in stream.dropLast() { reader.append([byte]) }
        #expect(reader.next() == .frame(kind: .data, channel: 7, body: [0, 65]))
        #expect(reader.next() == nil)
        reader.append([stream[stream.count - 1]])
        #expect(reader.next() == .frame(kind: .close, channel: 8, body: []))
    }

    @Test(
        "a frame with an impossible length or kind is malformed, and only a hello is taken after it",
        arguments: [
            [4, 0, 0, 0], [1, 0, 2, 0], [255, 255, 255, 255], [5, 0, 0, 0, 1, 0, 0, 0, 0x7f],
        ] as [[UInt8]])
    func malformed(bytes: [UInt8]) {
        var reader = greetedReader()
        reader.append(bytes)
        #expect(reader.next() == .malformed)
        reader.append(LabFrame.encode(.close, channel: 8))
        #expect(reader.next() == nil)
        reader.append(hello)
        #expect(reader.next() == .hello(hello))
    }

    @Test("a client that follows one cut off in the middle of a frame is understood", arguments: [0, 3, 9, 200])
    func successor(cut: Int) {
        var reader = greetedReader()
        let frame = LabFrame.encode(.data, channel: 7, [UInt8](repeating: 1, count: 60_000))
        reader.append(Array(frame.prefix(cut)))
        reader.append([UInt8](repeating: 0, count: 131_080) + hello)
        var items: [LabFrameReader.Item] = []
        while let item = reader.next() { items.append(item) }
        #expect(items.last == .hello(hello))
        #expect(items.dropLast().last == .malformed)
    }

    @Test("a request is read field by field")
    func request() throws {
        let body: [UInt8] =
            [1, 0, 0, 0] + string("/tmp") + string("") + [2, 0, 0, 0] + string("wafer") + string("vmx")
            + [0, 0, 0, 0]
        guard case .start(let start) = try LabRequest(.start, body.span) else {
            Issue.record("it is no start")
            return
        }
        #expect(start.detached)
        #expect(start.directory == "/tmp")
        #expect(start.arguments == ["wafer", "vmx"])
        #expect(start.environment.isEmpty)
    }

    @Test("a request cut off anywhere, or one whose counts lie, is refused")
    func cutOff() {
        let whole: [UInt8] = [0, 0, 0, 0] + string("") + string("") + [1, 0, 0, 0] + string("wafer") + [0, 0, 0, 0]
        for length in 0..<whole.count {
            let body = Array(whole.prefix(length))
            #expect(throws: LabProtocolError.cutOff) { try LabRequest(.start, body.span) }
        }
        let lying: [UInt8] = [0, 0, 0, 0] + string("") + string("") + [255, 255, 255, 255]
        #expect(throws: LabProtocolError.cutOff) { try LabRequest(.start, lying.span) }
        let long: [UInt8] = [255, 255, 255, 255, 65]
        #expect(throws: LabProtocolError.cutOff) { try LabRequest(.get, long.span) }
    }

    private func string(_ text: String) -> [UInt8] { littleEndian(UInt32(text.utf8.count)) + Array(text.utf8) }
}
