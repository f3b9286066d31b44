import CLinux
public import Linux

/// A guest address whose writes signal an eventfd in the kernel, so that the vCPU goes on at once.
public struct Doorbell: Hashable, Sendable {
    /// Which of the two address spaces of the processor.
    public enum Space: Hashable, Sendable { case memory, port }

    /// How wide a write must be to count.
    public enum Width: UInt32, Hashable, Sendable {
        /// Any width. In memory space only, and not together with a value.
        case any = 0
        case byte = 1
        case word = 2
        case double = 4
        case quad = 8
    }

    public var address: UInt64
    public var width: Width
    public var space: Space
    /// Only writes of this value count; nil for any value.
    public var value: UInt64?

    public init(_ address: UInt64, width: Width = .any, space: Space = .memory, value: UInt64? = nil) {
        self.address = address
        self.width = width
        self.space = space
        self.value = value
    }
}

extension VirtualMachine {
    /// Lets guest writes to an address signal an eventfd instead of exiting.
    ///
    /// - Parameter event: the eventfd's descriptor. KVM holds the file, not the number.
    public func attachDoorbell(_ doorbell: Doorbell, _ event: CInt) throws(KVMError) {
        try change(doorbell, event, flags: 0, "attach a doorbell")
    }

    /// Lets guest writes to an address signal an eventfd instead of exiting.
    public func attachDoorbell(_ doorbell: Doorbell, _ event: EventFD) throws(KVMError) {
        try attachDoorbell(doorbell, event.raw)
    }

    /// Undoes `attachDoorbell`; all of the doorbell must be as it was attached.
    public func detachDoorbell(_ doorbell: Doorbell, _ event: CInt) throws(KVMError) {
        try change(doorbell, event, flags: UInt32(1 << kvm_ioeventfd_flag_nr_deassign), "detach a doorbell")
    }

    /// Undoes `attachDoorbell`; all of the doorbell must be as it was attached.
    public func detachDoorbell(_ doorbell: Doorbell, _ event: EventFD) throws(KVMError) {
        try detachDoorbell(doorbell, event.raw)
    }

    private func change(_ doorbell: Doorbell, _ event: CInt, flags: UInt32, _ operation: StaticString) throws(KVMError)
    {
        var request = kvm_ioeventfd()
        request.addr = doorbell.address
        request.len = doorbell.width.rawValue
        request.fd = event
        request.flags = flags
        if doorbell.space == .port { request.flags |= UInt32(1 << kvm_ioeventfd_flag_nr_pio) }
        if let value = doorbell.value {
            request.flags |= UInt32(1 << kvm_ioeventfd_flag_nr_datamatch)
            request.datamatch = value
        }
        try kvmCall(raw, WAFER_KVM_IOEVENTFD, &request, operation)
    }
}
