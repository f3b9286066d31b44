/// The configuration registers of one PCI Express function: 4 KiB of bytes, and which bits the guest may change.
///
/// Offsets are those of PCI Express Base 4.0, section 7.5.
public struct PCIConfigurationSpace: Sendable {
    /// Offsets of the common header.
    public enum Offset {
        public static let vendor = 0x00
        public static let device = 0x02
        public static let command = 0x04
        public static let status = 0x06
        public static let revision = 0x08
        public static let classCode = 0x09
        public static let headerType = 0x0e
        public static let bar0 = 0x10
        public static let subsystemVendor = 0x2c
        public static let subsystem = 0x2e
        public static let expansionROM = 0x30
        public static let capabilities = 0x34
        public static let interruptLine = 0x3c
        public static let interruptPin = 0x3d
    }

    /// Bits of the command register.
    public enum Command {
        public static let ioSpace: UInt16 = 1 << 0
        public static let memorySpace: UInt16 = 1 << 1
        public static let busMaster: UInt16 = 1 << 2
        public static let interruptDisable: UInt16 = 1 << 10
    }

    public static let size = 4096
    private var bytes = [UInt8](repeating: 0, count: size)
    private var writable = [UInt8](repeating: 0, count: size)
    /// Bits that neither are fixed nor the guest's: the device changes them itself. By offset.
    private var changing: [Int: UInt8] = [Offset.status: 1 << 3]
    private var nextCapability = 0x40
    private var lastCapabilityPointer = Offset.capabilities

    /// A type 0 header.
    ///
    /// - Parameter classCode: base class in bits 23:16, subclass in 15:8, programming interface in 7:0.
    public init(
        vendor: UInt16, device: UInt16, revision: UInt8 = 0, classCode: UInt32, subsystemVendor: UInt16 = 0,
        subsystem: UInt16 = 0
    ) {
        set(Offset.vendor, vendor)
        set(Offset.device, device)
        set(Offset.revision, revision)
        set(Offset.classCode, UInt8(truncatingIfNeeded: classCode))
        set(Offset.classCode + 1, UInt16(truncatingIfNeeded: classCode >> 8))
        set(Offset.subsystemVendor, subsystemVendor)
        set(Offset.subsystem, subsystem)
        let command = Command.ioSpace | Command.memorySpace | Command.busMaster | Command.interruptDisable
        // SERR# and parity bits are stored though nothing reports such errors: firmware and drivers read them back.
        allowWrites(Offset.command, command | 1 << 6 | 1 << 8)
        allowWrites(0x0c, UInt8(0xff))  // cache line size
        allowWrites(Offset.interruptLine, UInt8(0xff))
    }

    // MARK: The device's own access

    /// Reads an integer as the device stored it.
    ///
    /// - Precondition: it lies inside the 4 KiB.
    public func get<T: FixedWidthInteger>(_ offset: Int, as type: T.Type = T.self) -> T {
        var value: T = 0
        for index in (0..<MemoryLayout<T>.size).reversed() {
            value = value << 8 | T(truncatingIfNeeded: bytes[offset + index])
        }
        return value
    }

    /// Stores an integer, whatever the guest may write.
    public mutating func set<T: FixedWidthInteger>(_ offset: Int, _ value: T) {
        for index in 0..<MemoryLayout<T>.size {
            bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
        }
    }

    /// Lets the guest change the bits that are one in `mask`.
    public mutating func allowWrites<T: FixedWidthInteger>(_ offset: Int, _ mask: T) {
        for index in 0..<MemoryLayout<T>.size {
            writable[offset + index] = UInt8(truncatingIfNeeded: mask >> (8 * index))
        }
    }

    /// Says that the device itself changes the bits that are one in `mask`, so that they are part of its saved state.
    public mutating func allowChanges<T: FixedWidthInteger>(_ offset: Int, _ mask: T) {
        for index in 0..<MemoryLayout<T>.size {
            changing[offset + index] = UInt8(truncatingIfNeeded: mask >> (8 * index))
        }
    }

    /// Chains a capability into the list.
    ///
    /// - Parameters:
    ///   - identifier: the capability's number (PCI Code and ID Assignment, section 2).
    ///   - body: what follows the identifier and the next pointer.
    ///   - writable: which bits of the body the guest may change; shorter means none beyond.
    /// - Returns: the offset of the capability, of its identifier that is.
    public mutating func addCapability(_ identifier: UInt8, _ body: [UInt8], writable mask: [UInt8] = []) -> Int {
        let offset = nextCapability
        precondition(offset + 2 + body.count <= 256, "capabilities exceed the 256 bytes")
        bytes[lastCapabilityPointer] = UInt8(truncatingIfNeeded: offset)
        bytes[offset] = identifier
        for (index, byte) in body.enumerated() { bytes[offset + 2 + index] = byte }
        for (index, byte) in mask.enumerated() { writable[offset + 2 + index] = byte }
        lastCapabilityPointer = offset + 1
        nextCapability = (offset + 2 + body.count + 3) & ~3
        set(Offset.status, get(Offset.status, as: UInt16.self) | 1 << 4)
        return offset
    }

    // MARK: Saved state

    /// The bytes up to the last that is not zero.
    var bytesUsed: [UInt8] { Array(bytes[..<((bytes.lastIndex { $0 != 0 } ?? -1) + 1)]) }

    /// Takes over what can change, if the rest is the same.
    ///
    /// - Parameter saved: all 4 KiB.
    /// - Returns: the offset of a byte whose fixed bits differ; nothing is taken over then.
    mutating func restore(_ saved: [UInt8]) -> Int? {
        guard saved.count == Self.size else { return 0 }
        for offset in saved.indices {
            let fixed = ~(writable[offset] | changing[offset, default: 0])
            if (saved[offset] ^ bytes[offset]) & fixed != 0 { return offset }
        }
        bytes = saved
        return nil
    }

    // MARK: The guest's access

    /// What the guest reads. Bytes outside read as ones.
    public func guestRead(_ offset: Int, width: Int) -> UInt64 {
        guard offset >= 0, width >= 0, offset <= Self.size - width else { return allOnes(width: width) }
        var value: UInt64 = 0
        for index in (0..<width).reversed() { value = value << 8 | UInt64(bytes[offset + index]) }
        return value
    }

    /// Applies a guest's write to the bits it may change.
    public mutating func guestWrite(_ offset: Int, width: Int, value: UInt64) {
        guard offset >= 0, width >= 0, offset <= Self.size - width else { return }
        for index in 0..<width {
            let mask = writable[offset + index]
            let byte = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))
            bytes[offset + index] = bytes[offset + index] & ~mask | byte & mask
        }
    }

    /// The command register.
    public var command: UInt16 { self.get(Offset.command) }
}
