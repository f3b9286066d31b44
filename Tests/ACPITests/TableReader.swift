import Bytes
import Testing

@testable import ACPI

/// Finds placed tables again the way an operating system does: from the RSDP through a root table.
struct TableReader {
    let placed: PlacedACPITables
    /// The tables by signature, as the XSDT and the FADT name them.
    private(set) var tables: [String: [UInt8]] = [:]
    private(set) var addresses: [String: UInt64] = [:]
    private(set) var rsdtEntries: [UInt64] = []
    private(set) var xsdtEntries: [UInt64] = []

    init(_ placed: PlacedACPITables) throws {
        self.placed = placed
        let rsdt = try integer(UInt32.self, at: placed.rsdpAddress + 16)
        let xsdt = try integer(UInt64.self, at: placed.rsdpAddress + 24)
        try add("RSDT", at: UInt64(rsdt))
        try add("XSDT", at: xsdt)
        for offset in stride(from: 36, to: table("RSDT").count, by: 4) {
            rsdtEntries.append(UInt64(try integer(UInt32.self, at: UInt64(rsdt) + UInt64(offset))))
        }
        for offset in stride(from: 36, to: table("XSDT").count, by: 8) {
            xsdtEntries.append(try integer(UInt64.self, at: xsdt + UInt64(offset)))
        }
        for address in xsdtEntries {
            let signature = try bytes(at: address, count: 4)
            try add(String(decoding: signature, as: UTF8.self), at: address)
        }
        let fadt = try #require(addresses["FACP"])
        try add("FACS", at: UInt64(integer(UInt32.self, at: fadt + 36)))
        try add("DSDT", at: integer(UInt64.self, at: fadt + 140))
    }

    func table(_ signature: String) -> [UInt8] { tables[signature] ?? [] }

    func bytes(at address: UInt64, count: Int) throws -> [UInt8] {
        var reader = ByteReader(placed.bytes.span)
        try reader.seek(to: Int(address - placed.address))
        return try reader.array(count)
    }

    func integer<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at address: UInt64) throws -> T {
        var reader = ByteReader(placed.bytes.span)
        try reader.seek(to: Int(address - placed.address))
        return try reader.little()
    }

    private mutating func add(_ signature: String, at address: UInt64) throws {
        let found = try bytes(at: address, count: 4)
        #expect(String(decoding: found, as: UTF8.self) == signature)
        let count = try integer(UInt32.self, at: address + 4)
        tables[signature] = try bytes(at: address, count: Int(count))
        addresses[signature] = address
    }
}

extension [UInt8] {
    func little<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at offset: Int) throws -> T {
        var reader = ByteReader(span)
        try reader.seek(to: offset)
        return try reader.little()
    }
}
