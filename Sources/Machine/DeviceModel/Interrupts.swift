public import Linux

/// A wire to the interrupt controller.
public protocol InterruptLine: AnyObject, Sendable {
    /// Raises or lowers the wire. For an edge-triggered interrupt, raise and lower in a row.
    func set(_ level: Bool)
}

extension InterruptLine {
    /// One edge.
    public func pulse() {
        set(true)
        set(false)
    }
}

/// What a message-signalled interrupt writes where (PCI Local Bus 3.0, section 6.8).
public struct InterruptMessage: Equatable, Sendable, BitwiseCopyable {
    public var address: UInt64
    public var data: UInt32

    public init(address: UInt64, data: UInt32) {
        self.address = address
        self.data = data
    }
}

/// Delivers the message-signalled interrupts of one function.
///
/// Each vector has an event: signalling it, from any thread or from the kernel (vhost), delivers the vector's message.
/// A vector without a message is masked: signals wait in the event and are delivered when it gets one, which is just
/// what the pending bits of MSI-X stand for.
public protocol MessageInterrupts: AnyObject, Sendable {
    /// How many vectors there are.
    var vectorCount: Int { get }

    /// The event of a vector.
    ///
    /// - Precondition: `vector` is less than `vectorCount`.
    func event(_ vector: Int) -> EventFD

    /// Sets what signalling the vector delivers; nil masks it.
    func setMessage(_ vector: Int, _ message: InterruptMessage?)
}

/// Makes interrupts: the machine's interrupt controller as devices see it.
public protocol InterruptController: AnyObject, Sendable {
    /// The wire to a global system interrupt (ACPI 6.4, section 5.2.13).
    func line(_ globalSystemInterrupt: UInt32) -> any InterruptLine

    /// A set of message-signalled vectors, masked at first.
    func messages(_ vectorCount: Int) throws(SystemError) -> any MessageInterrupts
}

/// Where a guest rings a doorbell.
public enum DoorbellPlace: Hashable, Sendable, BitwiseCopyable {
    /// Writes of any width at this guest-physical address.
    case memory(UInt64)
    /// Writes of 16 bits to this port.
    case port(UInt16)
}

/// Turns guest writes to a place into signals of an event without leaving the kernel (ioeventfd).
public protocol DoorbellBinder: AnyObject, Sendable {
    /// Writes at `place` signal `event` from now on; the device is not called for them.
    func bind(_ event: EventFD, at place: DoorbellPlace) throws(SystemError)
    /// Undoes `bind` with the same arguments.
    func unbind(_ event: EventFD, at place: DoorbellPlace)
}
