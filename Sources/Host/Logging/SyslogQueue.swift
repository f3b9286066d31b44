/// Messages that wait for a remote log server. Bounded: when the server is away for long, the oldest go, and their number is
/// told when it is back.
public struct SyslogQueue: Sendable {
    /// What may wait, in bytes.
    public static let bytesMax = 1 << 20

    private var messages: [[UInt8]] = []
    private var start = 0
    private var bytes = 0
    /// Messages that went since this was last taken.
    public private(set) var lost: UInt64 = 0

    public init() {}

    public var isEmpty: Bool { start == messages.count }
    public var first: [UInt8]? { isEmpty ? nil : messages[start] }

    public mutating func append(_ message: [UInt8]) {
        messages.append(message)
        bytes += message.count
        while bytes > Self.bytesMax, !isEmpty {
            removeFirst()
            lost &+= 1
        }
    }

    public mutating func removeFirst() {
        guard !isEmpty else { return }
        bytes -= messages[start].count
        messages[start] = []
        start += 1
        if start > 256, start > messages.count / 2 {
            messages.removeFirst(start)
            start = 0
        }
    }

    public mutating func takeLost() -> UInt64 {
        defer { lost = 0 }
        return lost
    }
}
