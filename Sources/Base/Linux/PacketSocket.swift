import CLinux

/// Sends and receives whole Ethernet frames of one protocol on one link (packet(7)).
public final class PacketSocket: Sendable {
    private let descriptor: Descriptor

    /// Which frames to receive.
    public enum Selection: Sendable {
        /// All ARP (EtherType 0x0806).
        case arp
        /// IPv4 (0x0800) UDP datagrams to a port, first fragments only.
        case udp(port: UInt16)
    }

    /// - Parameter link: the link's number.
    public init(_ selection: Selection, link: UInt32) throws(SystemError) {
        let protocolNumber = if case .arp = selection { ETH_P_ARP } else { ETH_P_IP }
        // Protocol 0 receives nothing until the filter stands.
        let descriptor = Descriptor(
            adopting: try retrying("open packet socket") {
                socket(
                    AF_PACKET, CInt(SOCK_RAW.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
            })
        if case .udp(let port) = selection { try Self.filter(descriptor.raw, port) }
        let raw = descriptor.raw
        try retrying("set up packet socket") { wafer_packet_want_auxiliary_data(raw) }
        try retrying("bind packet socket") { wafer_packet_bind(raw, CInt(protocolNumber), link) }
        self.descriptor = descriptor
    }

    /// The descriptor's number, borrowed, for waiting.
    public var raw: CInt { descriptor.raw }

    /// Lets only UDP to a port through, so that all other traffic of the link wakes nobody.
    ///
    /// A classic BPF program (Documentation/networking/filter.rst) over the frame from its Ethernet header on.
    private static func filter(_ raw: CInt, _ port: UInt16) throws(SystemError) {
        let load = UInt16(BPF_LD | BPF_ABS)
        let jump = UInt16(BPF_JMP | BPF_JEQ | BPF_K)
        var program = [
            // The IPv4 header's protocol is UDP (17).
            sock_filter(code: load | UInt16(BPF_B), jt: 0, jf: 0, k: 14 + 9),
            sock_filter(code: jump, jt: 0, jf: 6, k: 17),
            // The fragment's offset is 0.
            sock_filter(code: load | UInt16(BPF_H), jt: 0, jf: 0, k: 14 + 6),
            sock_filter(code: UInt16(BPF_JMP | BPF_JSET | BPF_K), jt: 4, jf: 0, k: 0x1fff),
            // Behind the header, whose length X is in its first byte, the destination port.
            sock_filter(code: UInt16(BPF_LDX | BPF_B | BPF_MSH), jt: 0, jf: 0, k: 14),
            sock_filter(code: UInt16(BPF_LD | BPF_H | BPF_IND), jt: 0, jf: 0, k: 14 + 2),
            sock_filter(code: jump, jt: 0, jf: 1, k: UInt32(port)),
            sock_filter(code: UInt16(BPF_RET | BPF_K), jt: 0, jf: 0, k: 0xffff),
            sock_filter(code: UInt16(BPF_RET | BPF_K), jt: 0, jf: 0, k: 0),
        ]
        let result = unsafe program.withUnsafeMutableBufferPointer { instructions in
            var filter = unsafe sock_fprog(len: UInt16(instructions.count), filter: instructions.baseAddress)
            return unsafe setsockopt(
                raw, SOL_SOCKET, SO_ATTACH_FILTER, &filter, socklen_t(MemoryLayout<sock_fprog>.size))
        }
        if result != 0 { throw SystemError.last("filter packet socket") }
    }

    /// Sends a frame, its Ethernet header first.
    public func send(_ frame: [UInt8]) throws(SystemError) {
        let raw = descriptor.raw
        try retrying("send a packet") { unsafe CLinux.send(raw, frame, frame.count, CInt(MSG_DONTWAIT)) }
    }

    /// The next frame; nil if there is none now.
    ///
    /// - Returns: `hasChecksums` is false for a frame from this same machine whose checksums its sender left to hardware
    ///   that there is none of.
    public func receive() -> (frame: [UInt8], hasChecksums: Bool)? {
        var buffer = [UInt8](repeating: 0, count: 2048)
        var ready: CInt = 1
        while true {
            let count = unsafe wafer_packet_receive(descriptor.raw, &buffer, buffer.count, &ready)
            if count > 0 { return (Array(buffer[..<count]), ready != 0) }
            // ENETDOWN is told once when the link goes down; there may be more behind it.
            if count < 0, wafer_errno() == EINTR || wafer_errno() == ENETDOWN { continue }
            return nil
        }
    }
}
