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

    mutating func attribute(_ type: Int, _ value: UInt32) {
        attribute(type, (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) })
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
}
