/// The host's end of a character device: a console socket, a file, nothing.
public protocol CharacterBackend: AnyObject, Sendable {
    /// Takes bytes the guest sent. From any thread; never blocks. What the other side does not fetch in time is dropped,
    /// oldest first.
    func transmit(_ bytes: Span<UInt8>)

    /// Sets who takes the bytes that come from outside.
    func setReceiver(_ receiver: (any CharacterReceiver)?)

    /// The receiver, which had taken less than it was offered, has room again. From any thread.
    func receiverHasRoom()
}

/// The guest's end of a character device.
public protocol CharacterReceiver: AnyObject, Sendable {
    /// Takes bytes for the guest, as many as fit.
    ///
    /// - Returns: how many it took. If not all, it calls `receiverHasRoom` later.
    func receive(_ bytes: Span<UInt8>) -> Int
}
