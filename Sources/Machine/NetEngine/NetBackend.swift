public import Linux

/// What an adapter is plugged into: something that takes and gives Ethernet frames.
///
/// All adapters, whatever they look like to the guest, stand on this. Settings are made from one thread at a time; each
/// queue is used by one thread.
public protocol NetBackend: AnyObject, Sendable {
    /// How many queues there are, each for both directions; at least 1.
    var queueCount: Int { get }

    /// What it can do for a sender, and what it can be told that the guest will do itself.
    var offloads: NetOffloads { get }

    /// A queue.
    ///
    /// - Precondition: `index` is less than `queueCount`.
    func queue(_ index: Int) -> any NetQueue

    /// From now on received packets may come with this work undone.
    func setGuestOffloads(_ offloads: NetOffloads) throws(SystemError)

    /// Only the first `count` queues are served by the guest; the others must get no packets.
    func setActiveQueues(_ count: Int) throws(SystemError)

    /// Frames that this filter rejects need not be handed over; the adapter still checks those that are.
    func setFilter(_ filter: NetFilter)

    /// Plugs the cable in or out at the back end's side; the adapter drops packets by itself while it is out.
    func setLink(up: Bool)

    /// What passed since this back end was made, counted by somebody who sees all packets, also those that the kernel
    /// moves by itself; nil if there is nobody.
    var statistics: (toGuest: NetStatistics, fromGuest: NetStatistics)? { get }
}

extension NetBackend {
    public var statistics: (toGuest: NetStatistics, fromGuest: NetStatistics)? { nil }
}

/// One pair of directions of a back end. Every packet has a `NetHeader` before it.
public protocol NetQueue: AnyObject, Sendable {
    /// For an `EventLoop`: readable when a packet waits, writable when there is room for one. Watch for edges, after a
    /// transfer that would have blocked.
    var descriptor: CInt { get }

    /// Sends one packet without waiting.
    @unsafe func send(_ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult

    /// Receives one packet without waiting. What does not fit into the pieces is lost, and the result is then all of
    /// their length.
    @unsafe func receive(_ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult

    /// The tap that vhost can take packets from and put them to by itself; nil if there is none.
    var tap: TapQueue? { get }
}

extension NetQueue {
    public var tap: TapQueue? { nil }
}
