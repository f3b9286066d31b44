import CLinux

/// A change of a kernel object: a device came, went or changed.
public struct Uevent: Equatable, Sendable {
    /// `add`, `remove`, `change`, `bind` and so on.
    public var action: String
    /// Where it lies below /sys.
    public var path: String
    /// Everything else the kernel says, such as `MODALIAS` and `DEVNAME`.
    public var properties: [String: String]

    /// Reads the kernel's form: `action@path`, then `KEY=value`, each ended by a zero byte.
    ///
    /// - Returns: nil for anything else, such as udev's own messages.
    public init?(_ message: some Sequence<UInt8>) {
        let fields = message.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        guard let head = fields.first, let at = head.firstIndex(of: "@") else { return nil }
        action = String(head[..<at])
        path = String(head[head.index(after: at)...])
        properties = [:]
        for field in fields.dropFirst() {
            guard let equals = field.firstIndex(of: "=") else { continue }
            properties[String(field[..<equals])] = String(field[field.index(after: equals)...])
        }
    }
}

/// Hears the kernel's object events.
public final class UeventSocket {
    private let netlink: NetlinkSocket

    public init() throws(SystemError) {
        netlink = try NetlinkSocket(family: NETLINK_KOBJECT_UEVENT, groups: 1)
        // The kernel drops events that do not fit; at boot they come in hundreds.
        var size: CInt = 4 << 20
        let raw = netlink.raw
        _ = unsafe setsockopt(raw, SOL_SOCKET, SO_RCVBUFFORCE, &size, socklen_t(MemoryLayout<CInt>.size))
    }

    /// The descriptor's number, borrowed, for waiting.
    public var raw: CInt { netlink.raw }

    /// The next pending event; nil if there is none now.
    public func next() -> Uevent? {
        var buffer = [UInt8](repeating: 0, count: 8192)
        while true {
            let count = unsafe recv(netlink.raw, &buffer, buffer.count, CInt(MSG_DONTWAIT))
            if count > 0 {
                if let event = Uevent(buffer[..<count]) { return event }
            } else if count == 0 || wafer_errno() != EINTR && wafer_errno() != ENOBUFS {
                return nil
            }
        }
    }
}
