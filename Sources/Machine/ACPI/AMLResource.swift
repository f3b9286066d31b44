import Bytes

/// One descriptor of a resource template (ACPI 6.5, 6.4).
struct AMLResource: Equatable, Sendable {
    /// The encoded descriptor.
    let bytes: [UInt8]
}

// What a device uses itself
extension AMLResource {
    /// I/O ports that the device decodes with all 16 address bits (6.4.2.5).
    static func io(port: UInt16, count: UInt8) -> AMLResource {
        var writer = ByteWriter()
        writer.append([0x47, 0x01])
        writer.little(port)
        writer.little(port)
        writer.append([1, count])
        return AMLResource(bytes: writer.bytes)
    }

    /// An ISA interrupt: edge triggered, active high, not shared (6.4.2.1, without flags).
    static func irq(_ number: UInt8) -> AMLResource {
        precondition(number < 16, "an ISA interrupt is 0 to 15")
        var writer = ByteWriter()
        writer.append([0x22])
        writer.little(UInt16(1) << UInt16(number))
        return AMLResource(bytes: writer.bytes)
    }

    /// A global system interrupt: level triggered, active high, shared (6.4.3.6).
    static func levelInterrupt(_ number: UInt32) -> AMLResource {
        var writer = ByteWriter()
        writer.append([0x89])
        writer.little(UInt16(6))
        // Bit 0: consumer; bit 1: edge; bit 2: active low; bit 3: shared.
        writer.append([0b1001, 1])
        writer.little(number)
        return AMLResource(bytes: writer.bytes)
    }

    /// Writable memory at a fixed place below 4 GiB (6.4.3.4).
    static func memory32(base: UInt32, count: UInt32) -> AMLResource {
        var writer = ByteWriter()
        writer.append([0x86])
        writer.little(UInt16(9))
        writer.append([0x01])
        writer.little(base)
        writer.little(count)
        return AMLResource(bytes: writer.bytes)
    }
}

// Windows: what a bridge hands down to the devices below it (6.4.3.5)
extension AMLResource {
    /// How the processor may cache a memory window.
    enum Caching: UInt8 {
        case none = 0
        case cacheable = 1
        case writeCombining = 2
        case prefetchable = 3
    }

    static func busNumberWindow(_ range: ClosedRange<UInt16>) -> AMLResource {
        window(tag: 0x88, kind: 2, flags: 0, range)
    }

    static func ioWindow(_ range: ClosedRange<UInt16>) -> AMLResource {
        // Type flags 3: the whole range, ISA and non-ISA addresses.
        window(tag: 0x88, kind: 1, flags: 3, range)
    }

    static func ioWindow32(_ range: ClosedRange<UInt32>) -> AMLResource {
        window(tag: 0x87, kind: 1, flags: 3, range)
    }

    static func memoryWindow(_ range: ClosedRange<UInt32>, caching: Caching) -> AMLResource {
        window(tag: 0x87, kind: 0, flags: caching.rawValue << 1 | 1, range)
    }

    static func memoryWindow64(_ range: ClosedRange<UInt64>, caching: Caching) -> AMLResource {
        window(tag: 0x8a, kind: 0, flags: caching.rawValue << 1 | 1, range)
    }

    private static func window<Address: FixedWidthInteger & UnsignedInteger>(
        tag: UInt8, kind: UInt8, flags: UInt8, _ range: ClosedRange<Address>
    ) -> AMLResource {
        let (less, overflow) = range.upperBound.subtractingReportingOverflow(range.lowerBound)
        precondition(!overflow && less < Address.max, "a window's length must be expressible in its own width")
        var writer = ByteWriter()
        writer.append([tag])
        writer.little(UInt16(3 + 5 * MemoryLayout<Address>.size))
        // General flags: producer, positive decode, minimum and maximum fixed.
        writer.append([kind, 0b1100, flags])
        writer.little(Address(0))  // granularity
        writer.little(range.lowerBound)
        writer.little(range.upperBound)
        writer.little(Address(0))  // translation
        writer.little(less + 1)
        return AMLResource(bytes: writer.bytes)
    }
}
