/// Signalling rates, as an xHCI counts them (xHCI 1.2, section 7.2.2.1.1, default speed IDs).
public enum USBSpeed: UInt8, Sendable {
    case full = 1
    case low = 2
    case high = 3
    case `super` = 4
}

/// The eight bytes that begin a control transfer (USB 2.0, section 9.3).
public struct USBSetup: Equatable, Sendable, BitwiseCopyable {
    public var requestType: UInt8
    public var request: UInt8
    public var value: UInt16
    public var index: UInt16
    public var length: UInt16

    /// - Parameter bytes: the packet as a little-endian integer, first byte lowest.
    public init(_ bytes: UInt64) {
        requestType = UInt8(truncatingIfNeeded: bytes)
        request = UInt8(truncatingIfNeeded: bytes >> 8)
        value = UInt16(truncatingIfNeeded: bytes >> 16)
        index = UInt16(truncatingIfNeeded: bytes >> 32)
        length = UInt16(truncatingIfNeeded: bytes >> 48)
    }

    /// Whether data flows to the host.
    public var isIn: Bool { requestType & 0x80 != 0 }
}

/// The data of one transfer, in a place that is used again for the next.
public struct USBData: Sendable {
    /// More than any descriptor or report of ours; transfers beyond it are refused.
    public static let capacity = 1024

    private var bytes = [UInt8](repeating: 0, count: capacity)
    public private(set) var count = 0

    public init() {}

    public mutating func removeAll() { count = 0 }

    /// Adds a byte; what does not fit is dropped.
    public mutating func append(_ byte: UInt8) {
        guard count < Self.capacity else { return }
        bytes[count] = byte
        count += 1
    }

    public mutating func append(_ more: [UInt8]) { for byte in more { append(byte) } }

    /// A byte of it; zero beyond the end.
    public subscript(index: Int) -> UInt8 { index >= 0 && index < count ? bytes[index] : 0 }

    /// Shortens it to what was asked for.
    mutating func truncate(to limit: Int) { count = min(count, max(limit, 0)) }

    /// Makes room for what comes from guest memory.
    ///
    /// - Returns: false if it does not fit.
    mutating func append(count more: Int, _ fill: (UnsafeMutableRawPointer) -> Bool) -> Bool {
        guard more >= 0, more <= Self.capacity - count else { return false }
        let start = count
        let done = unsafe bytes.withUnsafeMutableBytes { buffer -> Bool in
            guard let base = buffer.baseAddress else { return false }
            return unsafe fill(base + start)
        }
        if done { count += more }
        return done
    }

    /// Shows a part of it.
    func read(_ range: Range<Int>, _ body: (UnsafeRawPointer) -> Bool) -> Bool {
        guard range.lowerBound >= 0, range.upperBound <= count else { return false }
        return unsafe bytes.withUnsafeBytes { buffer -> Bool in
            guard let base = buffer.baseAddress else { return false }
            return unsafe body(base + range.lowerBound)
        }
    }
}

/// How a device answers a transfer.
public enum USBAnswer: Sendable {
    /// The data are there, or were taken.
    case done
    /// Nothing to send now; the device says when.
    case notReady
    /// The device refuses.
    case stall
}

/// A device built into the machine, as a host controller sees it.
///
/// The controller calls it with its own lock held. So a device never calls the controller while it holds a lock of its own.
public protocol USBDevice: AnyObject, Sendable {
    var speed: USBSpeed { get }

    /// The bus is reset: back to unconfigured.
    func reset()

    /// A control transfer to endpoint 0, except SET_ADDRESS, which is the controller's.
    ///
    /// - Parameter data: empty for requests that read, to be filled; otherwise what the guest sent.
    func control(_ setup: USBSetup, _ data: inout USBData) -> USBAnswer

    /// The guest asks an interrupt endpoint for data.
    ///
    /// - Parameters:
    ///   - endpoint: its number, 1...15.
    ///   - data: empty; the device adds what it has.
    func interruptIn(_ endpoint: UInt8, _ data: inout USBData) -> USBAnswer

    /// Sets whom the device tells that an interrupt endpoint has data now; nil when it is detached.
    func attached(to port: (any USBPort)?)
}

/// A device's way to its host controller.
public protocol USBPort: AnyObject, Sendable {
    /// An interrupt endpoint that was not ready has data. From any thread, without locks of the device.
    ///
    /// - Parameter wakes: the guest let the device wake a suspended port.
    func hasData(endpoint: UInt8, wakes: Bool)
}
