import CLinux

/// Features of the kernel's side that are not virtio features (`VHOST_GET_BACKEND_FEATURES`).
public struct VhostBackendFeatures: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Second version of the address translation messages. Unused here: guests have no IOMMU before their devices.
    public static let translationMessages2 = VhostBackendFeatures(rawValue: 1 << 1)
}

/// Where one split ring lies in this process's memory.
public struct VhostRingAddresses: Sendable, BitwiseCopyable {
    let descriptors: UInt64
    let available: UInt64
    let used: UInt64
    let usedLogAddress: UInt64?

    /// - Parameter usedLogAddress: guest physical address of the used ring, for the log of written pages; nil writes no
    ///   log.
    @unsafe public init(
        descriptors: UnsafeRawPointer, available: UnsafeRawPointer, used: UnsafeRawPointer,
        usedLogAddress: UInt64? = nil
    ) {
        self.descriptors = UInt64(UInt(bitPattern: descriptors))
        self.available = UInt64(UInt(bitPattern: available))
        self.used = UInt64(UInt(bitPattern: used))
        self.usedLogAddress = usedLogAddress
    }
}

/// A stretch of guest memory that the kernel may reach for a device.
public struct VhostMemoryRegion: Sendable, BitwiseCopyable {
    let start: UInt64
    let count: UInt64
    let host: UInt64

    /// - Parameters:
    ///   - start: guest physical address.
    ///   - count: length in bytes.
    ///   - host: where this process has it mapped.
    @unsafe public init(start: UInt64, count: Int, host: UnsafeMutableRawPointer) {
        self.start = start
        self.count = UInt64(count)
        self.host = UInt64(UInt(bitPattern: host))
    }
}

/// A set of virtio rings that a kernel thread serves (`/dev/vhost-net`, `/dev/vhost-vsock`).
///
/// Order of calls: init, `setFeatures`, `setMemory`, per ring size, base, addresses, kick and call events, then the
/// device's own start (`setNetBackend`, `setVsockRunning`). The memory handed in must stay mapped until the device has
/// been stopped or closed.
public final class VhostDevice: Sendable {
    /// `VHOST_F_LOG_ALL`: note every page that is written, in the log of `setLog`.
    public static let logAllFeature: UInt64 = 1 << 26
    /// `VHOST_NET_F_VIRTIO_NET_HDR`: vhost itself makes the virtio-net header. Not for taps that have one.
    public static let ownNetHeaderFeature: UInt64 = 1 << 27
    public static let netPath = "/dev/vhost-net"
    public static let vsockPath = "/dev/vhost-vsock"

    private let descriptor: Descriptor
    /// Virtio and vhost features this kernel can serve.
    public let features: UInt64

    /// Opens a device and becomes its owner.
    public convenience init(_ path: String) throws(SystemError) {
        try self.init(adopting: Descriptor(opening: path, .readWrite))
    }

    /// Becomes the owner of a device that someone else opened and handed to this process.
    public init(adopting descriptor: consuming Descriptor) throws(SystemError) {
        try descriptor.control(WAFER_VHOST_SET_OWNER, 0, "own the vhost device")
        var features: UInt64 = 0
        try descriptor.control(WAFER_VHOST_GET_FEATURES, &features, "read vhost features")
        self.features = features
        self.descriptor = descriptor
    }

    /// The descriptor's number, borrowed.
    public var raw: CInt { descriptor.raw }

    /// Sets what the guest and the kernel agreed on; a subset of `features`.
    public func setFeatures(_ features: UInt64) throws(SystemError) {
        var features = features
        try descriptor.control(WAFER_VHOST_SET_FEATURES, &features, "set vhost features")
    }

    /// What the kernel's side can do; empty on kernels that cannot say.
    public func backendFeatures() -> VhostBackendFeatures {
        var features: UInt64 = 0
        guard (try? descriptor.control(WAFER_VHOST_GET_BACKEND_FEATURES, &features, "read vhost features")) != nil
        else { return [] }
        return VhostBackendFeatures(rawValue: features)
    }

    public func setBackendFeatures(_ features: VhostBackendFeatures) throws(SystemError) {
        var value = features.rawValue
        try descriptor.control(WAFER_VHOST_SET_BACKEND_FEATURES, &value, "set vhost backend features")
    }

    /// Tells the kernel where guest memory is.
    public func setMemory(_ regions: [VhostMemoryRegion]) throws(SystemError) {
        let header = MemoryLayout<vhost_memory>.size
        let step = MemoryLayout<vhost_memory_region>.size
        var table = [UInt8](repeating: 0, count: header + regions.count * step)
        unsafe table.withUnsafeMutableBytes { bytes in
            unsafe bytes.storeBytes(of: UInt32(truncatingIfNeeded: regions.count), as: UInt32.self)
            for (index, region) in regions.enumerated() {
                let entry = vhost_memory_region(
                    guest_phys_addr: region.start, memory_size: region.count, userspace_addr: region.host,
                    flags_padding: 0)
                unsafe bytes.storeBytes(
                    of: entry, toByteOffset: header + index * step, as: vhost_memory_region.self)
            }
        }
        try descriptor.control(WAFER_VHOST_SET_MEM_TABLE, bytes: &table, "give guest memory to vhost")
    }

    // MARK: Rings

    /// Sets how many descriptors a ring has.
    public func setSize(of ring: UInt32, _ size: UInt32) throws(SystemError) {
        try setState(WAFER_VHOST_SET_VRING_NUM, ring, size, "set vhost ring size")
    }

    /// Sets the index in the available ring that is served next.
    public func setBase(of ring: UInt32, _ index: UInt16) throws(SystemError) {
        try setState(WAFER_VHOST_SET_VRING_BASE, ring, UInt32(index), "set vhost ring index")
    }

    /// Stops a vsock ring or reads a net one, and tells the index in the available ring that would be served next.
    public func base(of ring: UInt32) throws(SystemError) -> UInt16 {
        var state = vhost_vring_state(index: ring, num: 0)
        try descriptor.control(WAFER_VHOST_GET_VRING_BASE, &state, "read vhost ring index")
        return UInt16(truncatingIfNeeded: state.num)
    }

    public func setAddresses(of ring: UInt32, _ addresses: VhostRingAddresses) throws(SystemError) {
        var value = vhost_vring_addr()
        value.index = ring
        value.desc_user_addr = addresses.descriptors
        value.avail_user_addr = addresses.available
        value.used_user_addr = addresses.used
        if let log = addresses.usedLogAddress {
            value.flags = 1 << UInt32(VHOST_VRING_F_LOG)
            value.log_guest_addr = log
        }
        try descriptor.control(WAFER_VHOST_SET_VRING_ADDR, &value, "give a ring to vhost")
    }

    /// The event that says the guest made buffers available; nil stops listening.
    public func setKick(of ring: UInt32, _ event: EventFD?) throws(SystemError) {
        try setFile(WAFER_VHOST_SET_VRING_KICK, ring, event?.raw ?? -1, "set vhost kick event")
    }

    /// The event to signal when buffers have been used; nil makes the ring silent.
    public func setCall(of ring: UInt32, _ event: EventFD?) throws(SystemError) {
        try setCall(of: ring, descriptor: event?.raw ?? -1)
    }

    /// The same with the event's number. The kernel keeps the event by itself.
    public func setCall(of ring: UInt32, descriptor: CInt) throws(SystemError) {
        try setFile(WAFER_VHOST_SET_VRING_CALL, ring, descriptor, "set vhost call event")
    }

    /// The event to signal when the ring is found broken.
    public func setError(of ring: UInt32, _ event: EventFD?) throws(SystemError) {
        try setFile(WAFER_VHOST_SET_VRING_ERR, ring, event?.raw ?? -1, "set vhost error event")
    }

    /// How long the kernel may spin for more work before it sleeps, in microseconds.
    public func setBusyPolling(of ring: UInt32, microseconds: UInt32) throws(SystemError) {
        try setState(WAFER_VHOST_SET_VRING_BUSYLOOP_TIMEOUT, ring, microseconds, "set vhost busy polling")
    }

    // MARK: Log of written pages

    /// Where to note written pages: one bit a page of 4 KiB, set atomically, bit 0 of byte 0 for guest address 0. Written
    /// only while `logAllFeature` is among the features.
    @unsafe public func setLog(_ base: UnsafeMutableRawPointer) throws(SystemError) {
        var value = UInt64(UInt(bitPattern: base))
        try descriptor.control(WAFER_VHOST_SET_LOG_BASE, &value, "set the vhost log")
    }

    // MARK: Networking

    /// Ties a ring to a tap's queue and starts it; nil stops it, after which the kernel touches the ring no more.
    public func setNetBackend(of ring: UInt32, _ tap: TapQueue?) throws(SystemError) {
        try setFile(WAFER_VHOST_NET_SET_BACKEND, ring, tap?.raw ?? -1, "tie vhost to the tap")
    }

    // MARK: Sockets

    /// Sets the guest's context identifier, 3 or more; fails with EADDRINUSE if another guest has it.
    public func setVsockGuest(_ identifier: UInt64) throws(SystemError) {
        var value = identifier
        try descriptor.control(WAFER_VHOST_VSOCK_SET_GUEST_CID, &value, "set the guest's vsock address")
    }

    /// Starts or stops the receive and transmit rings.
    public func setVsockRunning(_ on: Bool) throws(SystemError) {
        var value: CInt = on ? 1 : 0
        try descriptor.control(WAFER_VHOST_VSOCK_SET_RUNNING, &value, "run vsock")
    }

    // MARK: Shapes of argument

    private func setState(
        _ request: UInt, _ ring: UInt32, _ value: UInt32, _ operation: StaticString
    ) throws(SystemError) {
        var state = vhost_vring_state(index: ring, num: value)
        try descriptor.control(request, &state, operation)
    }

    private func setFile(
        _ request: UInt, _ ring: UInt32, _ file: CInt, _ operation: StaticString
    ) throws(SystemError) {
        var value = vhost_vring_file(index: ring, fd: file)
        try descriptor.control(request, &value, operation)
    }
}
