import Bytes

/// What the lab channel carries; see docs/formats/lab-channel.md.
enum LabFrame {
    static let magic: [UInt8] = [0] + Array("WAFLAB\n".utf8)
    static let version: UInt32 = 1
    /// Magic, version, nonce.
    static let helloSize = 20
    static let lengthLimits: ClosedRange<UInt32> = 5...131_072
    static let dataMax = 65_536
    /// What a sender may have outstanding on a stream.
    static let window = 262_144

    enum Kind: UInt8, Sendable {
        case start = 0x01
        case put = 0x02
        case get = 0x03
        case connect = 0x04
        case list = 0x05
        case processes = 0x06
        case wait = 0x07
        case makeDirectory = 0x08
        case remove = 0x09
        case power = 0x0a
        case data = 0x20
        case end = 0x21
        case credit = 0x22
        case signal = 0x23
        case close = 0x24
        case opened = 0x40
        case exited = 0x41
        case done = 0x42
        case failed = 0x43
    }

    /// A whole frame in bytes.
    static func encode(_ kind: Kind, channel: UInt32, _ body: [UInt8] = []) -> [UInt8] {
        var writer = ByteWriter()
        writer.little(UInt32(truncatingIfNeeded: 5 + body.count))
        writer.little(channel)
        writer.little(kind.rawValue)
        writer.append(body)
        return writer.bytes
    }
}

/// Cuts the byte stream from a client into a hello and frames.
struct LabFrameReader {
    enum Item: Equatable {
        /// A client begins; answer with these bytes.
        case hello([UInt8])
        case frame(kind: LabFrame.Kind, channel: UInt32, body: [UInt8])
        /// What came is no frame: everything open is lost, and a hello must follow.
        case malformed
    }

    private var buffer: [UInt8] = []
    private var consumed = 0
    private var greeted = false

    mutating func append(_ bytes: [UInt8]) {
        if consumed > 0 {
            buffer.removeFirst(consumed)
            consumed = 0
        }
        buffer += bytes
    }

    /// Forgets what came and waits for a hello.
    mutating func reset() {
        self = LabFrameReader()
    }

    /// Keeps what came but looks for a hello in it.
    mutating func expectHello() { greeted = false }

    /// The next whole item, or nil until more bytes came.
    mutating func next() -> Item? { greeted ? nextFrame() : nextHello() }

    private mutating func nextHello() -> Item? {
        let size = LabFrame.helloSize
        while buffer.count - consumed >= size {
            let candidate = buffer[consumed..<(consumed + size)]
            if candidate.starts(with: LabFrame.magic) {
                consumed += size
                greeted = true
                return .hello(Array(candidate))
            }
            consumed += 1
        }
        return nil
    }

    private mutating func nextFrame() -> Item? {
        guard buffer.count - consumed >= 4 else { return nil }
        let length = (0..<4).reduce(UInt32(0)) { $0 | UInt32(buffer[consumed + $1]) << UInt32(8 * $1) }
        guard LabFrame.lengthLimits.contains(length) else {
            // It may be a new client's hello: look there again.
            greeted = false
            return .malformed
        }
        let end = consumed + 4 + Int(length)
        guard buffer.count >= end else { return nil }
        let channel = (4..<8).reduce(UInt32(0)) { $0 | UInt32(buffer[consumed + $1]) << UInt32(8 * ($1 - 4)) }
        guard let kind = LabFrame.Kind(rawValue: buffer[consumed + 8]) else {
            greeted = false
            return .malformed
        }
        let body = Array(buffer[(consumed + 9)..<end])
        consumed = end
        return .frame(kind: kind, channel: channel, body: body)
    }
}

/// Reads the fields of a frame's body.
struct LabFields: ~Escapable {
    private var reader: ByteReader

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>) { reader = ByteReader(bytes) }

    @_lifetime(self: copy self)
    mutating func byte() throws(OutOfBounds) -> UInt8 { try reader.little() }

    @_lifetime(self: copy self)
    mutating func word() throws(OutOfBounds) -> UInt32 { try reader.little() }

    @_lifetime(self: copy self)
    mutating func string() throws(OutOfBounds) -> String {
        let length: UInt32 = try reader.little()
        return String(decoding: try reader.array(Int(length)), as: UTF8.self)
    }

    @_lifetime(self: copy self)
    mutating func strings() throws(OutOfBounds) -> [String] {
        let count: UInt32 = try reader.little()
        var strings: [String] = []
        // Each takes four bytes at least, so a count that lies ends in OutOfBounds soon.
        for _ in 0..<count { strings.append(try string()) }
        return strings
    }

    @_lifetime(self: copy self)
    mutating func rest() throws(OutOfBounds) -> [UInt8] { try reader.array(reader.remaining) }
}
