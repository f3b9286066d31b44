import Bytes
import GuestMemory

@testable import GuestBoot

/// A bzImage made to order.
struct SyntheticKernel {
    var version: UInt16 = 0x20f
    var magic: UInt32 = 0x5372_6448
    var bootFlag: UInt16 = 0xaa55
    var setupSectors: UInt8 = 3
    var loadFlags: UInt8 = 1
    var extendedFlags: UInt16 = 0x3f
    var relocatable: UInt8 = 1
    var alignment: UInt32 = 0x20_0000
    var preferredAddress: UInt64 = 0x100_0000
    var initializationCount: UInt32 = 0x200_0000
    var initrdAddressMax: UInt32 = 0x7fff_ffff
    var commandLineMax: UInt32 = 2047
    var payload: [UInt8] = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    /// In units of 16 bytes; nil tells the truth.
    var systemSize: UInt32?
    var trailer: [UInt8] = []

    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.zeros((Int(setupSectors == 0 ? 4 : setupSectors) + 1) * 512)
        writer.patch(at: 0x1f1, little: setupSectors)
        writer.patch(at: 0x1f4, little: systemSize ?? UInt32((payload.count + 15) / 16))
        writer.patch(at: 0x1fe, little: bootFlag)
        writer.patch(at: 0x200, little: UInt16(0x6aeb))
        writer.patch(at: 0x202, little: magic)
        writer.patch(at: 0x206, little: version)
        writer.patch(at: 0x211, little: loadFlags)
        writer.patch(at: 0x22c, little: initrdAddressMax)
        writer.patch(at: 0x230, little: alignment)
        writer.patch(at: 0x234, little: relocatable)
        writer.patch(at: 0x236, little: extendedFlags)
        writer.patch(at: 0x238, little: commandLineMax)
        writer.patch(at: 0x258, little: preferredAddress)
        writer.patch(at: 0x260, little: initializationCount)
        writer.append(payload)
        writer.append(trailer)
        return writer.bytes
    }

    var image: MemoryImage { MemoryImage("kernel", bytes) }
}

/// An ELF kernel made to order.
struct SyntheticELF {
    struct Header {
        var type: UInt32 = 1
        var offset: UInt64 = 0
        var address: UInt64 = 0
        var fileCount: UInt64 = 0
        var memoryCount: UInt64 = 0
        var alignment: UInt64 = 4
    }

    var elfClass: UInt8 = 2
    var order: UInt8 = 1
    var type: UInt16 = 2
    var machine: UInt16 = 62
    var headerSize: UInt16 = 56
    /// nil tells the truth.
    var headerCount: UInt16?
    var headerOffset: UInt64 = 64
    var headers: [Header]
    var contents: [(offset: Int, bytes: [UInt8])]

    /// Code at 16 MiB with zeros behind it, data at 18 MiB, and a note that names 0x1000010.
    static func kernel() -> SyntheticELF {
        let code = (0..<256).map { UInt8(truncatingIfNeeded: $0) }
        let data = [UInt8](repeating: 0xd0, count: 64)
        let notes = note("GNU\0", 3, [1, 2, 3, 4, 5]) + note("Xen\0", 18, [0x10, 0, 0, 1, 0, 0, 0, 0])
        return SyntheticELF(
            headers: [
                Header(offset: 0x2000, address: 0x120_0000, fileCount: 64, memoryCount: 64),
                Header(offset: 0x1000, address: 0x100_0000, fileCount: 256, memoryCount: 0x2000),
                Header(type: 4, offset: 0x3000, fileCount: UInt64(notes.count), memoryCount: UInt64(notes.count)),
            ],
            contents: [(0x1000, code), (0x2000, data), (0x3000, notes)])
    }

    static func note(_ name: String, _ type: UInt32, _ value: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.little(UInt32(name.utf8.count))
        writer.little(UInt32(value.count))
        writer.little(type)
        writer.append(name.utf8)
        writer.align(to: 4)
        writer.append(value)
        writer.align(to: 4)
        return writer.bytes
    }

    mutating func setNotes(_ notes: [UInt8]) {
        contents[2].bytes = notes
        headers[2].fileCount = UInt64(notes.count)
    }

    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.append([0x7f, 0x45, 0x4c, 0x46, elfClass, order, 1])
        writer.align(to: 16)
        writer.little(type)
        writer.little(machine)
        writer.little(UInt32(1))
        writer.little(UInt64(0xffff_ffff_8100_0000))
        writer.little(headerOffset)
        writer.zeros(8 + 4)
        writer.little(UInt16(64))
        writer.little(headerSize)
        writer.little(headerCount ?? UInt16(headers.count))
        writer.zeros(6)
        for header in headers {
            writer.little(header.type)
            writer.little(UInt32(7))
            writer.little(header.offset)
            writer.little(header.address &+ 0xffff_ffff_8000_0000)
            writer.little(header.address)
            writer.little(header.fileCount)
            writer.little(header.memoryCount)
            writer.little(header.alignment)
        }
        for (offset, bytes) in contents {
            writer.zeros(offset - writer.count)
            writer.append(bytes)
        }
        return writer.bytes
    }

    var image: MemoryImage { MemoryImage("vmlinux", bytes) }
}

/// The RAM of a machine with so many bytes, split at the PCI hole as `GuestMemory` does.
func regions(_ count: Int) -> [GuestMemoryRegion] {
    let low = min(count, 0x8000_0000)
    var regions = [GuestMemoryRegion(start: 0, count: low, fileOffset: 0)]
    if count > low {
        regions.append(GuestMemoryRegion(start: 1 << 32, count: count - low, fileOffset: low))
    }
    return regions
}

/// What the guest finds at an address once the plan is carried out.
struct PlannedMemory {
    private var bytes: [(start: UInt64, bytes: [UInt8])] = []

    init(_ plan: BootPlan) {
        for write in plan.writes {
            if case .bytes(let bytes) = write.source { self.bytes.append((write.address, bytes)) }
        }
    }

    func load<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type = T.self, at address: UInt64) -> T? {
        for (start, bytes) in bytes where address >= start && address - start < UInt64(bytes.count) {
            var reader = ByteReader(bytes.span)
            do {
                try reader.seek(to: Int(address - start))
                return try reader.little(T.self)
            } catch {
                return nil
            }
        }
        return nil
    }
}
