import CLinux

/// Hears that links, addresses or routes of this network changed.
public final class NetworkEvents: EventHandler, @unchecked Sendable {
    // @unchecked: belongs to its loop's thread.

    private let netlink: NetlinkSocket
    private let changed: () -> Void

    /// - Parameter changed: called on the loop's thread after one or more changes; look at what is there then.
    public init(on loop: EventLoop, _ changed: @escaping () -> Void) throws(SystemError) {
        // linux/rtnetlink.h, RTMGRP_*: links, IPv4 addresses and routes, IPv6 addresses and routes.
        netlink = try NetlinkSocket(
            family: NETLINK_ROUTE,
            groups: UInt32(
                RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE))
        self.changed = changed
        super.init()
        try loop.watch(netlink.raw, for: .readable, self)
    }

    override public func ready(_ events: Readiness) {
        var any = false
        // What is dropped for lack of room is a change, too.
        while netlink.takeEvents() != nil { any = true }
        if any { changed() }
    }

    /// Stops listening.
    public func close(on loop: EventLoop) { loop.unwatch(netlink.raw) }
}
