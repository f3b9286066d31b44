import Synchronization

/// An address in the guest's physical address space, in bytes.
public typealias GuestAddress = UInt64

/// An access that does not lie wholly in one piece of guest RAM.
public struct GuestMemoryError: Error, Equatable, Sendable, CustomStringConvertible {
    public var address: GuestAddress
    public var count: Int

    public init(address: GuestAddress, count: Int) {
        self.address = address
        self.count = count
    }

    public var description: String {
        "\(count) bytes at guest address 0x\(String(address, radix: 16)) are not guest memory"
    }
}

/// Checked access to guest RAM: a small trivial value that every device keeps a copy of.
///
/// It owns nothing (`GuestMemory` does, and outlives all devices), so copying and using it costs no reference counting.
/// The guest may write any byte at any moment: read a field once, check the copy, use the copy.
@safe public struct GuestRAM: BitwiseCopyable, @unchecked Sendable {
    // @unchecked: pointers to memory shared with the guest; racing accesses are the hardware's semantics.

    @unsafe @usableFromInline struct Region: BitwiseCopyable {
        @usableFromInline var start: GuestAddress = 0
        @usableFromInline var count: UInt64 = 0
        @usableFromInline var host: UnsafeMutableRawPointer?
        @usableFromInline init() {}
    }

    /// How many pieces RAM may come in: below and above the PCI hole, and room for memory added later.
    static let regionsMax = 4

    @usableFromInline var regions: InlineArray<4, Region>
    /// One bit a page of 4 KiB, counted over the regions in order.
    @usableFromInline var dirtyLog: DirtyLog

    init(regions: [(start: GuestAddress, count: Int, host: UnsafeMutableRawPointer)], dirtyLog: DirtyLog) {
        precondition(unsafe regions.count <= Self.regionsMax, "too many RAM regions")
        unsafe self.regions = InlineArray(repeating: Region())
        for index in unsafe regions.indices {
            unsafe self.regions[index].start = regions[index].start
            unsafe self.regions[index].count = UInt64(regions[index].count)
            unsafe self.regions[index].host = regions[index].host
        }
        self.dirtyLog = dirtyLog
    }

    /// The host address of `count` bytes of RAM.
    ///
    /// - Returns: nil unless all of them lie in one region. Valid for as long as the VM's `GuestMemory` lives.
    @unsafe @inlinable @inline(__always)
    public func pointer(at address: GuestAddress, count: Int) -> UnsafeMutableRawPointer? {
        guard count >= 0 else { return nil }
        for index in 0..<4 {
            let region = unsafe regions[index]
            let offset = unsafe address &- region.start
            if unsafe offset < region.count && UInt64(count) <= region.count &- offset {
                return unsafe region.host.map { unsafe $0 + Int(offset) }
            }
        }
        return nil
    }

    /// Whether `count` bytes at `address` lie in one region of RAM.
    @inlinable public func contains(_ address: GuestAddress, count: Int) -> Bool {
        unsafe pointer(at: address, count: count) != nil
    }

    /// Reads a little-endian integer once; nil if it is not in RAM.
    @inlinable @inline(__always)
    public func load<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at address: GuestAddress) -> T? {
        guard let pointer = unsafe pointer(at: address, count: MemoryLayout<T>.size) else { return nil }
        return unsafe T(littleEndian: pointer.loadUnaligned(as: T.self))
    }

    /// Writes a little-endian integer.
    ///
    /// - Returns: false if the place is not in RAM; nothing is written then.
    @inlinable @inline(__always) @discardableResult
    public func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at address: GuestAddress) -> Bool {
        guard let pointer = unsafe pointer(at: address, count: MemoryLayout<T>.size) else { return false }
        unsafe pointer.storeBytes(of: value.littleEndian, as: T.self)
        markDirty(address, count: MemoryLayout<T>.size)
        return true
    }

    /// Copies `count` bytes of RAM to `target`.
    ///
    /// - Returns: false if they are not all in one region; nothing is copied then.
    @unsafe public func copy(from address: GuestAddress, to target: UnsafeMutableRawPointer, count: Int) -> Bool {
        guard let source = unsafe pointer(at: address, count: count) else { return false }
        unsafe target.copyMemory(from: source, byteCount: count)
        return true
    }

    /// Copies `count` bytes from `source` into RAM.
    @unsafe public func copy(from source: UnsafeRawPointer, to address: GuestAddress, count: Int) -> Bool {
        guard let target = unsafe pointer(at: address, count: count) else { return false }
        unsafe target.copyMemory(from: source, byteCount: count)
        markDirty(address, count: count)
        return true
    }

    /// Writes bytes at an address: tables, boot structures, kernels. Not for hot paths.
    public func write(_ bytes: [UInt8], at address: GuestAddress) throws(GuestMemoryError) {
        let done = unsafe bytes.withUnsafeBytes { buffer -> Bool in
            guard let base = buffer.baseAddress else { return true }
            return unsafe copy(from: base, to: address, count: buffer.count)
        }
        if !done { throw GuestMemoryError(address: address, count: bytes.count) }
    }

    /// Reads bytes into an array. Not for hot paths.
    public func read(_ count: Int, at address: GuestAddress) throws(GuestMemoryError) -> [UInt8] {
        guard let source = unsafe pointer(at: address, count: count) else {
            throw GuestMemoryError(address: address, count: count)
        }
        return unsafe Array(UnsafeRawBufferPointer(start: source, count: count))
    }

    /// Notes that the host wrote here. KVM's own log sees only what vCPUs write, so whoever fills guest memory (device
    /// models, completed disk reads, received packets) says so for migration and snapshots.
    @inlinable @inline(__always)
    public func markDirty(_ address: GuestAddress, count: Int) {
        if isTracking { markDirtySlow(address, count: count) }
    }

    /// Whether host writes are being noted; nothing needs to be marked otherwise.
    @inlinable public var isTracking: Bool { dirtyLog.isTracking }

    @usableFromInline func markDirtySlow(_ address: GuestAddress, count: Int) {
        guard count > 0 else { return }
        var pagesBefore: UInt64 = 0
        for index in 0..<Self.regionsMax {
            let region = unsafe regions[index]
            let offset = unsafe address &- region.start
            if unsafe offset < region.count && UInt64(count) <= region.count &- offset {
                let first = offset >> 12
                let last = (offset &+ UInt64(count) &- 1) >> 12
                for page in first...last { dirtyLog.mark(pagesBefore &+ page) }
                return
            }
            unsafe pagesBefore &+= region.count >> 12
        }
    }
}
