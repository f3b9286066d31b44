import CLinux

/// Gives the calling thread an empty network of its own (namespaces(7)): no interface but an idle loopback.
///
/// Threads that it starts from then on share that network; it goes when the last thread and socket in it have gone. Other
/// threads of the process stay where they are. Needs CAP_SYS_ADMIN.
public func enterNewNetwork() throws(SystemError) {
    try retrying("make a network namespace") { wafer_unshare(WAFER_CLONE_NEWNET) }
}

/// Puts the calling thread into a network that is there already.
///
/// - Parameter network: a descriptor of it, such as `/proc/thread-self/ns/net` opened by a thread in it.
public func joinNetwork(_ network: CInt) throws(SystemError) {
    try retrying("join a network namespace") { wafer_setns(network, WAFER_CLONE_NEWNET) }
}
