import CLinux

/// Which packets a tap's owner can take whole, so that the kernel need not cut them up or sum them first.
public struct TapOffloads: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Packets whose checksum is still to be completed.
    public static let checksum = TapOffloads(rawValue: WAFER_TUN_F_CSUM)
    /// TCP over IPv4 beyond the MTU.
    public static let tcp4 = TapOffloads(rawValue: WAFER_TUN_F_TSO4)
    /// TCP over IPv6 beyond the MTU.
    public static let tcp6 = TapOffloads(rawValue: WAFER_TUN_F_TSO6)
    /// TCP with congestion notification beyond the MTU.
    public static let ecn = TapOffloads(rawValue: WAFER_TUN_F_TSO_ECN)
    /// UDP fragments beyond the MTU. Kernels since 4.14 take the bit and never make such packets.
    public static let udp = TapOffloads(rawValue: WAFER_TUN_F_UFO)
}

/// One queue of a tap interface: an open `/dev/net/tun` that is tied to it.
///
/// Reads and writes do not block; each moves one Ethernet frame with a virtio-net header of 12 bytes before it. The
/// interface goes with its last queue, unless it is persistent.
public final class TapQueue: Sendable {
    /// Bytes of the header before each frame: `virtio_net_hdr_v1` (virtio 1.2, section 5.1.6).
    public static let headerSize = 12
    /// How many queues the kernel gives one interface.
    public static let queuesMax = 256
    private static let device = "/dev/net/tun"

    private let descriptor: Descriptor
    /// The interface.
    public let name: String
    /// Whether the interface may have several queues.
    public let isMultiQueue: Bool

    /// The descriptor's number, borrowed. vhost-net takes it as a back end.
    public var raw: CInt { descriptor.raw }

    /// Opens a queue of the interface called `name`; makes the interface if there is none.
    ///
    /// - Parameters:
    ///   - multiQueue: must be what the interface was made with. Further queues come from opening the same name again.
    ///   - mustBeNew: fails when the interface exists already.
    public init(_ name: String, multiQueue: Bool = false, mustBeNew: Bool = false) throws(SystemError) {
        guard !name.isEmpty, name.utf8.count < Int(IFNAMSIZ) else {
            throw SystemError(number: EINVAL, operation: "open tap", subject: name)
        }
        let descriptor = try Descriptor(opening: Self.device, [.readWrite, .nonBlocking])
        var flags = WAFER_IFF_TAP | WAFER_IFF_NO_PI | WAFER_IFF_VNET_HDR
        if multiQueue { flags |= WAFER_IFF_MULTI_QUEUE }
        if mustBeNew { flags |= WAFER_IFF_TUN_EXCL }
        var request = wafer_tun_request()
        unsafe wafer_tun_request_set(&request, name, flags)
        do throws(SystemError) {
            try descriptor.control(WAFER_TUNSETIFF, &request, "open tap")
        } catch {
            throw SystemError(number: error.number, operation: error.operation, subject: name)
        }
        // The kernel may have filled in a number ("tap%d").
        self.name = unsafe String(cString: wafer_tun_request_name(&request))
        isMultiQueue = multiQueue
        self.descriptor = descriptor
        try setUp()
    }

    /// Takes over a queue that someone else opened and handed to this process.
    ///
    /// - Throws: also when it is no tap or has no virtio-net header.
    public init(adopting descriptor: consuming Descriptor) throws(SystemError) {
        var request = wafer_tun_request()
        try descriptor.control(WAFER_TUNGETIFF, &request, "adopt tap")
        name = unsafe String(cString: wafer_tun_request_name(&request))
        let flags = UInt32(request.flags)
        let needed = WAFER_IFF_TAP | WAFER_IFF_NO_PI | WAFER_IFF_VNET_HDR
        guard flags & needed == needed else {
            throw SystemError(number: EINVAL, operation: "adopt tap without a virtio-net header", subject: name)
        }
        isMultiQueue = flags & WAFER_IFF_MULTI_QUEUE != 0
        self.descriptor = descriptor
        try self.descriptor.setNonBlocking()
        try setUp()
    }

    private func setUp() throws(SystemError) {
        var size = CInt(Self.headerSize)
        try descriptor.control(WAFER_TUNSETVNETHDRSZ, &size, "set the tap's header size")
        var little: CInt = 1
        try descriptor.control(WAFER_TUNSETVNETLE, &little, "set the tap's byte order")
    }

    // MARK: Settings of the interface; through any of its queues

    /// Says which packets the reader can take whole. Applies to the whole interface.
    public func setOffloads(_ offloads: TapOffloads) throws(SystemError) {
        try descriptor.control(WAFER_TUNSETOFFLOAD, UInt(offloads.rawValue), "set the tap's offloads")
    }

    /// The subset of `wanted` this kernel knows. Leaves offloads off.
    public func supportedOffloads(of wanted: TapOffloads) -> TapOffloads {
        var result = wanted
        if (try? setOffloads(result)) == nil {
            result.remove(.udp)
            if (try? setOffloads(result)) == nil { result = [] }
        }
        try? setOffloads([])
        return result
    }

    /// Keeps the interface when its last queue is closed, or not.
    public func setPersistent(_ on: Bool) throws(SystemError) {
        try descriptor.control(WAFER_TUNSETPERSIST, on ? 1 : 0, "make the tap persistent")
    }

    /// Plugs the interface's virtual cable in or out (kernel 5.0).
    public func setCarrier(_ on: Bool) throws(SystemError) {
        var value: CInt = on ? 1 : 0
        try descriptor.control(WAFER_TUNSETCARRIER, &value, "set the tap's carrier")
    }

    /// Lets only frames to these addresses through to the reader; nil lets all through.
    ///
    /// The kernel compares eight addresses exactly and hashes the multicast ones beyond; unicast ones beyond switch the
    /// filter off. So it never drops a listed address but may pass others.
    ///
    /// - Parameters:
    ///   - addresses: destinations, six bytes each; broadcast only passes if it is listed.
    ///   - allMulticast: pass every multicast frame.
    public func setReceiveFilter(_ addresses: [[UInt8]]?, allMulticast: Bool) throws(SystemError) {
        // struct tun_filter: u16 flags, u16 count, then the addresses. No address means no filter.
        var bytes: [UInt8] = []
        let list = addresses ?? []
        let flags = UInt16(truncatingIfNeeded: allMulticast ? WAFER_TUN_FLT_ALLMULTI : 0)
        let count = UInt16(truncatingIfNeeded: min(list.count, Int(UInt16.max)))
        for word in [flags, count] {
            bytes.append(UInt8(truncatingIfNeeded: word))
            bytes.append(UInt8(truncatingIfNeeded: word >> 8))
        }
        for address in list.prefix(Int(count)) {
            guard address.count == 6 else {
                throw SystemError(number: EINVAL, operation: "set the tap's receive filter", subject: name)
            }
            bytes += address
        }
        try descriptor.control(WAFER_TUNSETTXFILTER, bytes: &bytes, "set the tap's receive filter")
    }

    // MARK: This queue

    /// Ties a queue of a multi-queue interface to it, or takes it out of use without closing it.
    public func setAttached(_ on: Bool) throws(SystemError) {
        var request = wafer_tun_request()
        unsafe wafer_tun_request_set(&request, "", on ? WAFER_IFF_ATTACH_QUEUE : WAFER_IFF_DETACH_QUEUE)
        do throws(SystemError) {
            try descriptor.control(WAFER_TUNSETQUEUE, &request, "attach the tap's queue")
        } catch  where error.number == EINVAL {
            // The queue is already in the wanted state: the kernel has no other word for that.
        }
    }
}
