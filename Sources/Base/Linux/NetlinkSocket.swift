import CLinux

/// A request to the kernel's network configuration (rtnetlink): a header, a fixed part, then attributes.
///
/// Layout: Linux uapi `linux/netlink.h`; integers are in host order, attributes are padded to four bytes.
struct NetlinkRequest {
    private(set) var bytes: [UInt8] = []

    /// Begins a request; its length and sequence number are filled in when it is sent.
    init(_ type: Int, flags: CInt = 0) {
        append(UInt32(0))
        append(UInt16(truncatingIfNeeded: type))
        append(UInt16(truncatingIfNeeded: NLM_F_REQUEST | NLM_F_ACK | flags))
        append(UInt32(0))
        append(UInt32(0))
    }

    mutating func append<T: FixedWidthInteger>(_ value: T) {
        for index in 0..<MemoryLayout<T>.size { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
    }

    /// Adds an attribute with these bytes.
    mutating func attribute(_ type: Int, _ value: some Collection<UInt8>) {
        append(UInt16(truncatingIfNeeded: 4 + value.count))
        append(UInt16(truncatingIfNeeded: type))
        bytes += value
        bytes += repeatElement(0, count: -value.count & 3)
    }

    /// Adds an attribute holding an integer in host order.
    mutating func attribute<T: FixedWidthInteger>(_ type: Int, _ value: T) {
        attribute(type, (0..<MemoryLayout<T>.size).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) })
    }

    /// Adds an attribute holding null-terminated text.
    mutating func attribute(_ type: Int, _ value: String) { attribute(type, Array(value.utf8) + [0]) }

    /// Adds an attribute that holds other attributes.
    mutating func nest(_ type: Int, _ body: (inout NetlinkRequest) -> Void) {
        let start = bytes.count
        append(UInt16(0))
        append(UInt16(truncatingIfNeeded: type))
        body(&self)
        patch(at: start, UInt16(truncatingIfNeeded: bytes.count - start))
    }

    /// The finished message.
    func finished(sequence: UInt32) -> [UInt8] {
        var copy = self
        copy.patch(at: 0, UInt32(truncatingIfNeeded: bytes.count))
        copy.patch(at: 8, sequence)
        return copy.bytes
    }

    private mutating func patch<T: FixedWidthInteger>(at offset: Int, _ value: T) {
        for index in 0..<MemoryLayout<T>.size {
            bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
        }
    }
}

/// A connection to one of the kernel's netlink families.
public struct NetlinkSocket: ~Copyable {
    private let descriptor: Descriptor
    private var sequence: UInt32 = 0

    /// - Parameters:
    ///   - family: `NETLINK_ROUTE` and the like.
    ///   - groups: multicast groups to hear, as a bit mask.
    init(family: CInt, groups: UInt32 = 0) throws(SystemError) {
        let descriptor = Descriptor(
            adopting: try retrying("open netlink socket") {
                socket(AF_NETLINK, CInt(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), family)
            })
        var address = sockaddr_nl()
        address.nl_family = sa_family_t(AF_NETLINK)
        address.nl_groups = groups
        let raw = descriptor.raw
        try retrying("bind netlink socket") { unsafe wafer_bind_netlink(raw, &address) }
        self.descriptor = descriptor
    }

    var raw: CInt { descriptor.raw }

    /// Sends a request and waits for the kernel's answer to it.
    ///
    /// - Throws: the error the kernel answers with, described by `operation` and `subject`.
    mutating func perform(_ request: NetlinkRequest, _ operation: String, _ subject: String) throws(SystemError) {
        sequence &+= 1
        let message = request.finished(sequence: sequence)
        let raw = descriptor.raw
        try retrying(operation, subject) { unsafe send(raw, message, message.count, 0) }
        while true {
            guard let answer = descriptor.readAvailable(limit: 8192), !answer.isEmpty else {
                throw SystemError(number: EPROTO, operation: operation, subject: subject)
            }
            // The answer is an NLMSG_ERROR: header (16 bytes), then a negative error number or zero.
            guard answer.count >= 20, word(answer, 4) & 0xffff == UInt32(NLMSG_ERROR), word(answer, 8) == sequence
            else { continue }
            let number = CInt(bitPattern: word(answer, 16))
            if number == 0 { return }
            throw SystemError(number: 0 &- number, operation: operation, subject: subject)
        }
    }

    private func word(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << (8 * UInt32($1)) }
    }

    /// Sends a request for a listing and waits until all of it has come.
    ///
    /// A listing that changed while it was taken (NLM_F_DUMP_INTR) is taken again.
    mutating func dump(_ request: NetlinkRequest, _ operation: String) throws(SystemError) -> [NetlinkMessage] {
        for _ in 0..<Self.dumpsMax {
            if let messages = try dumpOnce(request, operation) { return messages }
        }
        throw SystemError(number: EBUSY, operation: operation)
    }

    private static let dumpsMax = 10

    /// - Returns: nil if the listing is torn.
    private mutating func dumpOnce(
        _ request: NetlinkRequest, _ operation: String
    ) throws(SystemError) -> [NetlinkMessage]? {
        sequence &+= 1
        let message = request.finished(sequence: sequence)
        let raw = descriptor.raw
        try retrying(operation) { unsafe send(raw, message, message.count, 0) }
        var messages: [NetlinkMessage] = []
        var isTorn = false
        while true {
            guard let answer = descriptor.readAvailable(limit: 1 << 17), !answer.isEmpty else {
                throw SystemError(number: EPROTO, operation: operation)
            }
            for message in NetlinkMessage.split(answer) where message.sequence == sequence {
                if message.flags & UInt16(NLM_F_DUMP_INTR) != 0 { isTorn = true }
                switch CInt(message.type) {
                case NLMSG_DONE: return isTorn ? nil : messages
                case NLMSG_ERROR:
                    let number = CInt(bitPattern: message.word(at: 0) ?? 0)
                    throw SystemError(number: number == 0 ? EPROTO : 0 &- number, operation: operation)
                default: messages.append(message)
                }
            }
        }
    }

    /// Takes what came for this socket's multicast groups, without waiting.
    ///
    /// - Returns: nil if nothing is there now. `isComplete` is false if the kernel had to drop events.
    func takeEvents() -> (messages: [NetlinkMessage], isComplete: Bool)? {
        var buffer = [UInt8](repeating: 0, count: 1 << 17)
        while true {
            let count = unsafe recv(descriptor.raw, &buffer, buffer.count, CInt(MSG_DONTWAIT))
            if count > 0 { return (NetlinkMessage.split(Array(buffer[..<count])), true) }
            switch wafer_errno() {
            case EINTR where count < 0: continue
            case ENOBUFS where count < 0: return ([], false)
            default: return nil
            }
        }
    }
}
