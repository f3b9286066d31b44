import Bytes

/// The ACPI tables for a machine whose firmware puts them in place: three fw_cfg files (QEMU's ACPI linker/loader interface).
public struct ACPILoaderFiles: Equatable, Sendable {
    /// `etc/acpi/tables`: all tables but the root pointer, with offsets in this file where addresses go.
    public let tables: [UInt8]
    /// `etc/acpi/rsdp`.
    public let rootPointer: [UInt8]
    /// `etc/table-loader`: the commands that firmware carries out in order.
    public let commands: [UInt8]

    public static let tablesName = "etc/acpi/tables"
    public static let rootPointerName = "etc/acpi/rsdp"
    public static let commandsName = "etc/table-loader"
}

/// Commands of 128 bytes: a number, then its fields, then zeros.
private struct LoaderScript {
    private enum Command {
        static let allocate: UInt32 = 1
        static let addPointer: UInt32 = 2
        static let addChecksum: UInt32 = 3
    }
    /// Where a file is put.
    enum Zone: UInt8 {
        case high = 1
        /// F0000 to FFFFF, where systems search.
        case fSegment = 2
    }
    private static let commandCount = 128
    private static let nameCount = 56

    private(set) var writer = ByteWriter()

    mutating func allocate(_ file: String, alignment: Int, _ zone: Zone) {
        writer.little(Command.allocate)
        writer.text(file, width: Self.nameCount)
        writer.little(UInt32(alignment))
        writer.append([zone.rawValue])
        writer.align(to: Self.commandCount)
    }

    /// Adds the address of `source` to what stands at `offset` of `file`.
    mutating func addPointer(in file: String, at offset: Int, width: Int, to source: String) {
        writer.little(Command.addPointer)
        writer.text(file, width: Self.nameCount)
        writer.text(source, width: Self.nameCount)
        writer.little(UInt32(offset))
        writer.append([UInt8(width)])
        writer.align(to: Self.commandCount)
    }

    /// Makes `count` bytes from `start` sum up to zero by the byte at `offset`.
    mutating func addChecksum(in file: String, at offset: Int, from start: Int, count: Int) {
        writer.little(Command.addChecksum)
        writer.text(file, width: Self.nameCount)
        writer.little(UInt32(offset))
        writer.little(UInt32(start))
        writer.little(UInt32(count))
        writer.align(to: Self.commandCount)
    }
}

extension ACPITables {
    /// The tables as files for firmware.
    public var loaderFiles: ACPILoaderFiles {
        let file = ACPILoaderFiles.tablesName
        let root = ACPILoaderFiles.rootPointerName
        var script = LoaderScript()
        script.allocate(root, alignment: 16, .fSegment)
        script.allocate(file, alignment: 64, .high)

        let (offsets, _) = layout(from: 0)
        func offset(of signature: String) -> Int { offsets[signature] ?? 0 }
        var writer = ByteWriter()
        for table in tables {
            writer.align(to: table.alignment)
            let start = writer.count
            writer.append(table.bytes)
            for pointer in table.pointers {
                let place = start + pointer.offset
                if pointer.width == 8 {
                    writer.patch(at: place, little: UInt64(offset(of: pointer.target)))
                } else {
                    writer.patch(at: place, little: UInt32(offset(of: pointer.target)))
                }
                script.addPointer(in: file, at: place, width: pointer.width, to: file)
            }
            if let checksum = table.checksumOffset {
                script.addChecksum(in: file, at: start + checksum, from: start, count: table.bytes.count)
            }
        }

        var pointer = ByteWriter()
        pointer.append(rsdp(rsdt: UInt32(offset(of: "RSDT")), xsdt: UInt64(offset(of: "XSDT"))))
        // Firmware adds to what stands there.
        pointer.patch(at: 8, little: UInt8(0))
        pointer.patch(at: 32, little: UInt8(0))
        script.addPointer(in: root, at: 16, width: 4, to: file)
        script.addPointer(in: root, at: 24, width: 8, to: file)
        script.addChecksum(in: root, at: 8, from: 0, count: 20)
        script.addChecksum(in: root, at: 32, from: 0, count: Self.rsdpCount)
        return ACPILoaderFiles(tables: writer.bytes, rootPointer: pointer.bytes, commands: script.writer.bytes)
    }

    /// Where each table goes, behind `start` bytes, and where the last one ends.
    func layout(from start: Int) -> (offsets: [String: Int], end: Int) {
        var offsets: [String: Int] = [:]
        var end = start
        for table in tables {
            end = (end + table.alignment - 1) / table.alignment * table.alignment
            offsets[table.signature] = end
            end += table.bytes.count
        }
        return (offsets, end)
    }
}
