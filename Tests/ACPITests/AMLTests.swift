import Testing

@testable import ACPI

@Suite("AML encoding")
struct AMLTests {
    @Test(
        "package lengths grow from one to four bytes and count themselves",
        arguments: [
            (0, [0x01]), (62, [0x3f]), (63, [0x41, 0x04]), (4093, [0x4f, 0xff]), (4094, [0x81, 0x00, 0x01]),
            (0xffffc, [0x8f, 0xff, 0xff]), (0xffffd, [0xc1, 0x00, 0x00, 0x01]),
            (AMLEncoding.bodyCountMax, [0xcf, 0xff, 0xff, 0xff]),
        ] as [(Int, [UInt8])])
    func packageLength(count: Int, expected: [UInt8]) {
        #expect(AMLEncoding.packageLength(body: count) == expected)
    }

    @Test("field lengths do not count themselves")
    func fieldLength() {
        #expect(AMLEncoding.fieldLength(bits: 32) == [32])
        #expect(AMLEncoding.fieldLength(bits: 63) == [63])
        #expect(AMLEncoding.fieldLength(bits: 64) == [0x40, 0x04])
    }

    @Test("integers take their shortest form")
    func integers() {
        #expect(AMLValue.integer(UInt8(0)).bytes == [0])
        #expect(AMLValue.integer(UInt8(1)).bytes == [1])
        #expect(AMLValue.integer(UInt8(2)).bytes == [0x0a, 2])
        #expect(AMLValue.integer(UInt16(0x1234)).bytes == [0x0b, 0x34, 0x12])
        #expect(AMLValue.integer(UInt32(0x1_0000)).bytes == [0x0c, 0, 0, 1, 0])
        #expect(AMLValue.integer(UInt64(1) << 32).bytes == [0x0e, 0, 0, 0, 0, 1, 0, 0, 0])
    }

    @Test("names are filled up, and paths get the prefix of their length")
    func names() {
        #expect(AMLName("S5").bytes == Array("S5__".utf8))
        #expect(AMLName("\\_SB.PCI0").bytes == [0x5c, 0x2e] + Array("_SB_PCI0".utf8))
        #expect(AMLName("^^A.B.C").bytes == [0x5e, 0x5e, 0x2f, 3] + Array("A___B___C___".utf8))
    }

    @Test("EISA identifiers and UUIDs have their peculiar byte orders")
    func identifiers() {
        #expect(AMLValue.eisaIdentifier("PNP0A08").bytes == [0x0c, 0x41, 0xd0, 0x0a, 0x08])
        #expect(
            AMLEncoding.uuid("33DB4D5B-1FF7-401C-9657-7441C03DD766") == [
                0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40, 0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66,
            ])
    }

    @Test("resource descriptors are laid out as section 6.4 says")
    func resources() {
        #expect(AMLResource.io(port: 0x3f8, count: 8).bytes == [0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8])
        #expect(AMLResource.irq(4).bytes == [0x22, 0x10, 0])
        #expect(AMLResource.levelInterrupt(20).bytes == [0x89, 6, 0, 0b1001, 1, 20, 0, 0, 0])
        #expect(AMLResource.memory32(base: 0xfec0_0000, count: 0x1000).bytes.count == 12)
        #expect(
            AMLResource.busNumberWindow(0...255).bytes == [
                0x88, 13, 0, 2, 0x0c, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 1,
            ])
        #expect(AMLResource.ioWindow32(0...0xcf7).bytes.count == 26)
        #expect(AMLResource.memoryWindow64(1 << 32...1 << 33, caching: .prefetchable).bytes.count == 46)
        #expect(AMLResource.memoryWindow64(1 << 32...1 << 33, caching: .prefetchable).bytes[5] == 0b111)
    }

    @Test("a loop, a branch and a method are packages around their terms")
    func control() {
        let term = AMLTerm.method("TEST", arguments: 1, serialized: true) {
            AMLTerm.loop(while: .less(.local(0), .argument(0))) {
                AMLTerm.store(.add(.local(0), 1), to: .local(0))
            }
            AMLTerm.returning(.subtract(.shiftRight(.local(0), by: 1), .ones))
        }
        let loop: [UInt8] = [0xa2, 10, 0x95, 0x60, 0x68, 0x70, 0x72, 0x60, 1, 0, 0x60]
        let result: [UInt8] = [0xa4, 0x74, 0x7a, 0x60, 1, 0, 0xff, 0]
        let body = Array("TEST".utf8) + [0x09] + loop + result
        #expect(term.bytes == [0x14, UInt8(body.count + 1)] + body)
    }
}
