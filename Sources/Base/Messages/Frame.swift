import Bytes

/// One message on the wire between two processes of a host: a header of 12 bytes, little-endian, and a payload.
///
///     0  u32  length of the payload in bytes, at most `Frame.payloadMax`
///     4  u16  version of the codec: 1
///     6  u16  kind of message
///     8  u32  request number: an answer carries its request's; 0 is an event that nobody asked for
public struct Frame: Equatable, Sendable {
    public static let version: UInt16 = 1
    public static let headerSize = 12
    /// More than any message needs; a longer one is a broken or hostile peer.
    public static let payloadMax = 1 << 20

    public var kind: UInt16
    public var request: UInt32
    public var payload: [UInt8]

    public init(kind: UInt16, request: UInt32, payload: [UInt8] = []) {
        self.kind = kind
        self.request = request
        self.payload = payload
    }

    /// A message whose payload is one value.
    public init(kind: UInt16, request: UInt32, fields: some MessageField) {
        var writer = FieldWriter()
        fields.write(to: &writer)
        self.init(kind: kind, request: request, payload: writer.bytes)
    }

    /// Header and payload.
    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.little(UInt32(truncatingIfNeeded: payload.count))
        writer.little(Self.version)
        writer.little(kind)
        writer.little(request)
        writer.append(payload)
        return writer.bytes
    }
}

/// What a peer sent is not a message.
public enum MessageError: Error, Equatable, Sendable, CustomStringConvertible {
    case tooLong(UInt32)
    case version(UInt16)
    /// A field ends after the payload does.
    case truncated
    case notText
    /// A number stands for no value of its type.
    case unknownValue(UInt64)
    /// Bytes are left behind the last field.
    case trailing(Int)
    case unknownKind(UInt16)

    public var description: String {
        switch self {
        case .tooLong(let count): "a message of \(count) bytes is longer than \(Frame.payloadMax)"
        case .version(let version): "message version \(version) is not \(Frame.version)"
        case .truncated: "a message ends inside a field"
        case .notText: "a text field is not UTF-8"
        case .unknownValue(let value): "a field has the unknown value \(value)"
        case .trailing(let count): "a message has \(count) bytes too many"
        case .unknownKind(let kind): "messages of kind \(kind) are unknown here"
        }
    }
}

/// Cuts a stream of bytes into frames.
public struct FrameParser: Sendable {
    private var buffer: [UInt8] = []

    public init() {}

    /// Adds bytes as they came.
    public mutating func feed(_ bytes: [UInt8]) { buffer += bytes }

    /// The next whole frame; nil if more bytes are needed. After an error the stream is of no use any more.
    public mutating func next() throws(MessageError) -> Frame? {
        guard buffer.count >= Frame.headerSize else { return nil }
        let count: UInt32 = field(at: 0)
        let version: UInt16 = field(at: 4)
        if version != Frame.version { throw .version(version) }
        if count > UInt32(Frame.payloadMax) { throw .tooLong(count) }
        let end = Frame.headerSize + Int(count)
        guard buffer.count >= end else { return nil }
        let frame = Frame(
            kind: field(at: 6), request: field(at: 8), payload: Array(buffer[Frame.headerSize..<end]))
        buffer.removeFirst(end)
        return frame
    }

    /// A little-endian field of the header, which is there in full.
    private func field<T: FixedWidthInteger>(at offset: Int) -> T {
        var value: T = 0
        for index in (0..<MemoryLayout<T>.size).reversed() {
            value = value << 8 | T(truncatingIfNeeded: buffer[offset + index])
        }
        return value
    }
}
