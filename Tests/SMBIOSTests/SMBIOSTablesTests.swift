import Bytes
import Foundation
import Testing

@testable import SMBIOS

@Suite("SMBIOS tables")
struct SMBIOSTablesTests {
    static func configuration() -> SMBIOSConfiguration {
        var configuration = SMBIOSConfiguration(
            uuid: [
                0x56, 0x4d, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x80, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
            ], sockets: 2,
            memory: [.init(start: 0, count: 2 << 30), .init(start: 4 << 30, count: 38 << 30)])
        configuration.coresPerSocket = 2
        configuration.system.serialNumber = "WAFER-1234"
        configuration.processorManufacturer = "AuthenticAMD"
        configuration.oemStrings = ["one", "", "three"]
        return configuration
    }

    @Test("firmware gets an anchor that counts the structures and knows the longest")
    func anchor() throws {
        let files = try SMBIOSTables(Self.configuration()).loaderFiles
        let anchor = files.anchor
        #expect(anchor.count == 31)
        #expect(Array(anchor[..<4]) == Array("_SM_".utf8) && Array(anchor[16..<21]) == Array("_DMI_".utf8))
        #expect(Int(anchor[22]) | Int(anchor[23]) << 8 == files.tables.count)
        let structures = try Self.structures(files.tables).values.flatMap { $0 }
        #expect(Int(anchor[28]) | Int(anchor[29]) << 8 == structures.count)
        let lengths = structures.map { structure in
            let texts = structure.texts.reduce(0) { $0 + $1.utf8.count + 1 }
            return structure.fields.count + (texts == 0 ? 2 : texts + 1)
        }
        #expect(Int(anchor[8]) | Int(anchor[9]) << 8 == lengths.max())
    }

    /// The structures by type, taken apart as a reader would.
    static func structures(_ bytes: [UInt8]) throws -> [UInt8: [(fields: [UInt8], texts: [String])]] {
        var result: [UInt8: [(fields: [UInt8], texts: [String])]] = [:]
        var reader = ByteReader(bytes.span)
        while reader.remaining > 0 {
            let type = try reader.little(UInt8.self)
            let count = try reader.little(UInt8.self)
            let fields = try [type, count] + reader.array(Int(count) - 2)
            var texts: [String] = []
            var text: [UInt8] = []
            while true {
                let byte = try reader.little(UInt8.self)
                if byte != 0 {
                    text.append(byte)
                } else if text.isEmpty {
                    if texts.isEmpty { try reader.skip(1) }
                    break
                } else {
                    texts.append(String(decoding: text, as: UTF8.self))
                    text = []
                }
            }
            result[type, default: []].append((fields, texts))
        }
        return result
    }

    @Test("the entry point is found by its anchor, sums to zero and leads to the tables")
    func entryPoint() throws {
        let placed = try SMBIOSTables(Self.configuration()).placed(at: 0xf_0000)
        let entry = placed.bytes[..<24]
        #expect(Array(entry[..<5]) == Array("_SM3_".utf8))
        #expect(entry.reduce(0, &+) == 0)
        #expect(Array(entry[6..<9]) == [24, 3, 0])
        var reader = ByteReader(placed.bytes.span)
        try reader.seek(to: 12)
        #expect(try reader.little(UInt32.self) == UInt32(placed.bytes.count - 32))
        #expect(try reader.little(UInt64.self) == 0xf_0020)
    }

    @Test("a reader finds every structure and its texts")
    func contents() throws {
        let structures = try Self.structures(SMBIOSTables(Self.configuration()).bytes)
        #expect(Set(structures.keys) == [0, 1, 3, 4, 11, 16, 17, 19, 32, 127])
        let system = try #require(structures[1]?.first)
        #expect(system.texts == ["Wafer", "Wafer Virtual Machine", "WAFER-1234", "Virtual Machine"])
        #expect(Array(system.fields[4..<8]) == [1, 2, 0, 3])
        #expect(
            Array(system.fields[8..<24]) == [
                0x02, 0x01, 0x4d, 0x56, 0x04, 0x03, 0x06, 0x05, 0x80, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
            ])
        #expect(structures[4]?.count == 2)
        #expect(structures[4]?.last?.texts == ["CPU 1", "AuthenticAMD"])
        #expect(structures[11]?.first?.texts == ["one", " ", "three"])
        #expect(structures[17]?.count == 3)
        let fields = try #require(structures[0]?.first?.fields)
        #expect(fields[0x13] == 0x10)
    }

    @Test("memory is told in the short fields and, beyond them, in the wide ones")
    func memorySizes() throws {
        var configuration = Self.configuration()
        configuration.memory = [.init(start: 0, count: 2 << 30), .init(start: 4 << 30, count: 6 << 40)]
        let structures = try Self.structures(SMBIOSTables(configuration).bytes)
        let devices = try #require(structures[17])
        #expect(devices.count <= 64)
        let array = try #require(structures[16]?.first?.fields)
        #expect(Array(array[7..<11]) == [0, 0, 0, 0x80])
        let mapping = try #require(structures[19]?.last?.fields)
        #expect(Array(mapping[4..<12]) == [UInt8](repeating: 0xff, count: 8))
        var megabytes = 0
        for (fields, _) in devices {
            var reader = ByteReader(fields.span)
            try reader.seek(to: 0xc)
            let short = try reader.little(UInt16.self)
            try reader.seek(to: 0x1c)
            let wide = try reader.little(UInt32.self)
            megabytes += short == 0x7fff ? Int(wide) : Int(short)
        }
        let expected: Int = 2 << 10 + 6 << 20
        #expect(megabytes == expected)
    }

    @Test("what cannot be expressed is refused")
    func refusals() throws {
        func error(_ change: (inout SMBIOSConfiguration) -> Void) -> SMBIOSConfigurationError? {
            var configuration = Self.configuration()
            change(&configuration)
            do throws(SMBIOSConfigurationError) {
                _ = try SMBIOSTables(configuration)
                return nil
            } catch {
                return error
            }
        }
        #expect(error { $0.uuid = [1] } == .badUUID(byteCount: 1))
        #expect(error { $0.sockets = 0 } == .badProcessorCount(sockets: 0, cores: 2, threads: 1))
        #expect(error { $0.threadsPerCore = .max } != nil)
        #expect(error { $0.memory = [.init(start: 0, count: 1000)] } == .badMemory(start: 0, count: 1000))
        #expect(error { $0.memory.swapAt(0, 1) } == .badMemory(start: 0, count: 2 << 30))
        #expect(error { $0.memory = [.init(start: .max & ~1023, count: 2048)] } != nil)
        #expect(error { $0.oemStrings = Array(repeating: "x", count: 256) } == .tooManyTexts(256))
        let tables = try SMBIOSTables(Self.configuration())
        for address: UInt64 in [0xe_0000, 0xf_0008, 0x10_0000] {
            #expect(throws: SMBIOSConfigurationError.misplaced(address)) { try tables.placed(at: address) }
        }
        #expect(throws: SMBIOSConfigurationError.self) { try tables.placed(at: 0xf_fff0) }
    }

    @Test("texts may hold anything; NUL and absence do no harm")
    func texts() throws {
        var configuration = Self.configuration()
        configuration.system.manufacturer = "a\0b"
        configuration.system.product = "\0"
        configuration.system.serialNumber = "Größe"
        let structures = try Self.structures(SMBIOSTables(configuration).bytes)
        #expect(structures[1]?.first?.texts == ["ab", "Größe", "Virtual Machine"])
    }

    static let dmidecode = ["/usr/sbin/dmidecode", "/sbin/dmidecode"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    @Test("dmidecode reads them without a complaint", .enabled(if: dmidecode != nil, "dmidecode is not installed"))
    func reference() throws {
        // A dump file has the entry point at 0 and the tables at 32.
        var writer = ByteWriter()
        writer.append(try SMBIOSTables(Self.configuration()).placed(at: 0xf_0000).bytes)
        writer.patch(at: 5, little: UInt8(0))
        writer.patch(at: 16, little: UInt64(32))
        writer.patch(at: 5, little: 0 &- writer.bytes[..<24].reduce(0, &+))
        let path = NSTemporaryDirectory() + "/wafer-smbios-\(UUID().uuidString)"
        try Data(writer.bytes).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }

        let process = Process()
        process.executableURL = URL(fileURLWithPath: try #require(Self.dmidecode))
        process.arguments = ["--from-dump", path]
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(output)")
        for part in [
            "SMBIOS 3.0.0 present.", "System is a virtual machine", "UUID: 564d0102-0304-0506-8008-090a0b0c0d0e",
            "Serial Number: WAFER-1234", "Socket Designation: CPU 1", "Core Count: 2", "Maximum Capacity: 40 GB",
            "Size: 16 GB", "Range Size: 38 GB", "Status: No errors detected", "End Of Table",
        ] {
            #expect(output.contains(part), "\(part)\n\(output)")
        }
        for part in ["BAD INDEX", "OUT OF SPEC", "TRUNCATED", "Wrong"] { #expect(!output.contains(part), "\(output)") }
    }
}
