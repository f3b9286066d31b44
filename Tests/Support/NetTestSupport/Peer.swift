public import Linux
public import NetEngine

/// The other end of a packet socket, or a tap on the card's network.
public final class Peer {
    private let owner: AnyObject
    public let descriptor: CInt
    private let buffer: UnsafeMutableRawPointer
    private let size = 256 << 10

    public convenience init(_ socket: consuming Descriptor) {
        let queue = SocketBackend.Queue(socket)
        self.init(queue, queue.descriptor)
    }

    public convenience init(_ tap: TapQueue) { self.init(tap, tap.raw) }

    private init(_ owner: AnyObject, _ descriptor: CInt) {
        self.owner = owner
        self.descriptor = descriptor
        buffer = .allocate(byteCount: size, alignment: 16)
    }

    deinit { buffer.deallocate() }

    /// Sends a frame to the guest.
    @discardableResult
    public func send(_ frame: [UInt8], _ header: NetHeader = NetHeader()) -> TransferResult {
        let bytes = header.bytes
        var packet = (0..<12).map { bytes[$0] } + frame
        return packet.withUnsafeMutableBytes {
            var piece = IOVector(base: $0.baseAddress, count: $0.count)
            return writeRecord(descriptor, &piece, 1)
        }
    }

    /// Takes a frame from the guest; nil if there is none.
    public func receive() -> (header: NetHeader, frame: [UInt8])? {
        var piece = IOVector(base: buffer, count: size)
        guard case .done(let count) = readRecord(descriptor, &piece, 1), count >= 12 else { return nil }
        let bytes = [UInt8](UnsafeRawBufferPointer(start: buffer, count: count))
        var header = InlineArray<12, UInt8>(repeating: 0)
        for index in 0..<12 { header[index] = bytes[index] }
        return (NetHeader(header), Array(bytes[12...]))
    }
}
