import Linux
import Synchronization

/// The MSI capability of a function with one vector (PCI Local Bus 3.0, section 6.8.1), for devices that have no MSI-X.
///
/// The device adds it to its configuration space, and passes on what the guest writes there and its own reset.
public final class MSI: Sendable {
    /// Capability identifier.
    public static let capability: UInt8 = 0x05

    /// Where the fields are, from the capability's start. Message control: bit 0 enables, bit 7 says that addresses have 64
    /// bits.
    private enum Offset {
        static let control = 2
        static let address = 4
        static let data = 12
        static let end = 14
    }

    private let interrupts: any MessageInterrupts
    private let offset: Int
    private let event: CInt
    private let enabled = Atomic<Bool>(false)

    /// Adds the capability to a function's space.
    ///
    /// - Parameter interrupts: at least one vector, of which the first is used.
    public init(_ interrupts: any MessageInterrupts, in space: inout PCIConfigurationSpace) {
        precondition(interrupts.vectorCount > 0, "a message needs a vector")
        self.interrupts = interrupts
        event = interrupts.event(0).raw
        let body: [UInt8] = [0x80, 0] + [UInt8](repeating: 0, count: 10)
        let writable: [UInt8] = [0x01, 0, 0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]
        offset = space.addCapability(Self.capability, body, writable: writable)
    }

    /// Whether the guest has switched the function from INTx to MSI.
    public var isEnabled: Bool { enabled.load(ordering: .acquiring) }

    /// Interrupts the guest. Only while enabled. From any thread.
    public func signal() { EventFD.signal(raw: event) }

    /// The guest wrote to the configuration space; for `PCIFunction.configurationWritten`.
    ///
    /// - Returns: whether it was this capability.
    @discardableResult
    public func configurationWritten(_ written: Int, width: Int, of function: PCIFunction) -> Bool {
        guard written < offset + Offset.end, written + width > offset else { return false }
        apply(of: function)
        return true
    }

    /// Does what the configuration space says: after it was restored, and to go on after `hold`.
    public func apply(of function: PCIFunction) {
        let (control, address, data) = function.withSpace { space in
            (
                space.get(offset + Offset.control, as: UInt16.self),
                space.get(offset + Offset.address, as: UInt64.self),
                space.get(offset + Offset.data, as: UInt16.self)
            )
        }
        let isOn = control & 1 != 0
        interrupts.setMessage(0, isOn ? InterruptMessage(address: address, data: UInt32(data)) : nil)
        enabled.store(isOn, ordering: .releasing)
    }

    /// Keeps interrupts back, for `PCIFunction.pause`. When this returns, those of before have reached the guest's interrupt controller.
    public func hold() { interrupts.setMessage(0, nil) }

    /// The function was reset, and its space is as at first.
    public func reset() {
        interrupts.setMessage(0, nil)
        enabled.store(false, ordering: .releasing)
    }
}
