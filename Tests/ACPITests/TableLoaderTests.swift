import Bytes
import Testing

@testable import ACPI

/// Carries the loader's commands out as firmware does.
struct LoaderFirmware {
    private(set) var files: [String: [UInt8]]
    private(set) var addresses: [String: UInt64] = [:]
    private(set) var zones: [String: UInt8] = [:]

    init(_ loader: ACPILoaderFiles, at places: [String: UInt64]) throws {
        files = [ACPILoaderFiles.tablesName: loader.tables, ACPILoaderFiles.rootPointerName: loader.rootPointer]
        #expect(loader.commands.count % 128 == 0)
        for start in stride(from: 0, to: loader.commands.count, by: 128) {
            let command = Array(loader.commands[start..<(start + 128)])
            var reader = ByteReader(command.span)
            let number: UInt32 = try reader.little()
            switch number {
            case 1:
                let file = try Self.name(&reader)
                let alignment: UInt32 = try reader.little()
                zones[file] = try reader.little(UInt8.self)
                let place = try #require(places[file])
                #expect(place % UInt64(alignment) == 0)
                addresses[file] = place
            case 2:
                let (target, source) = (try Self.name(&reader), try Self.name(&reader))
                let offset = Int(try reader.little() as UInt32)
                let width = Int(try reader.little(UInt8.self))
                let address = try #require(addresses[source])
                let value = integer(target, offset, width) &+ address
                for index in 0..<width {
                    files[target]?[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))
                }
            case 3:
                let file = try Self.name(&reader)
                let offset = Int(try reader.little() as UInt32)
                let start = Int(try reader.little() as UInt32)
                let count = Int(try reader.little() as UInt32)
                let bytes = try #require(files[file])
                files[file]?[offset] &-= bytes[start..<(start + count)].reduce(0, &+)
            default: Issue.record("command \(number)")
            }
        }
    }

    private static func name(_ reader: inout ByteReader) throws -> String {
        String(decoding: try reader.array(56).prefix { $0 != 0 }, as: UTF8.self)
    }

    private func integer(_ file: String, _ offset: Int, _ width: Int) -> UInt64 {
        (0..<width).reversed().reduce(0) { $0 << 8 | UInt64(files[file]?[offset + $1] ?? 0) }
    }
}

@Suite("ACPI tables for firmware")
struct TableLoaderTests {
    @Test("firmware that carries the commands out gets the same tables as a machine without firmware")
    func sameTables() throws {
        let tables = try ACPITables(ACPITablesTests.everything())
        let base: UInt64 = 0x7ff0_0000
        let firmware = try LoaderFirmware(
            tables.loaderFiles, at: [ACPILoaderFiles.rootPointerName: 0xf_5400, ACPILoaderFiles.tablesName: base])
        #expect(firmware.zones == [ACPILoaderFiles.rootPointerName: 2, ACPILoaderFiles.tablesName: 1])
        let root = try #require(firmware.files[ACPILoaderFiles.rootPointerName])
        #expect(root.count == 36 && root[..<20].reduce(0, &+) == 0 && root.reduce(0, &+) == 0)

        // Placed so that the tables behind the root pointer come to lie where firmware has put them.
        let placed = try tables.placed(at: base - 64)
        #expect(firmware.files[ACPILoaderFiles.tablesName] == Array(placed.bytes[64...]))
        #expect(Array(root[16..<20]) == Array(placed.bytes[16..<20]))
        #expect(Array(root[24..<32]) == Array(placed.bytes[24..<32]))
    }
}
