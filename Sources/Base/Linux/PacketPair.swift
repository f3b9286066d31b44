import CLinux

extension Descriptor {
    /// Two ends of a local connection that keeps packets apart. Neither end blocks; both are closed on exec.
    public static func packetPair() throws(SystemError) -> DescriptorPair {
        var ends: [CInt] = [-1, -1]
        let kind = CInt(SOCK_SEQPACKET.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        try retrying("make a packet pair") { unsafe socketpair(AF_UNIX, kind, 0, &ends) }
        return DescriptorPair(first: Descriptor(adopting: ends[0]), second: Descriptor(adopting: ends[1]))
    }
}

/// Two descriptors that were made together.
public struct DescriptorPair: ~Copyable, Sendable {
    public var first: Descriptor
    public var second: Descriptor

    /// Takes the pair apart.
    public consuming func split<Result: ~Copyable, Failure: Error>(
        _ body: (consuming Descriptor, consuming Descriptor) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(first, second)
    }
}
