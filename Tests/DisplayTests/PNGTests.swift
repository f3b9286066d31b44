import TestFiles
import Testing

@testable import Display

@Suite("PNG files")
struct PNGTests {
    @Test("checksums are those of their standards")
    func checksums() {
        let digits = Array("123456789".utf8)
        #expect(PNG.crc32(digits) == 0xcbf4_3926)
        #expect(PNG.adler32(digits) == 0x091e_01de)
    }

    @Test(
        "another reader sees every pixel as it was", .enabled(if: hasPillow), arguments: [(1, 1), (75, 50), (1000, 70)])
    func pillow(width: Int, height: Int) throws {
        let surface = RFBSessionTests.picture(width, height)
        try withTemporaryDirectory { directory in
            try writeFile(directory + "/picture.png", PNG.encode(surface))
            var raw: [UInt8] = []
            for pixel in surface.pixels {
                raw += [UInt8(pixel >> 16 & 0xff), UInt8(pixel >> 8 & 0xff), UInt8(pixel & 0xff)]
            }
            try writeFile(directory + "/picture.ppm", Array("P6 \(width) \(height) 255\n".utf8) + raw)
            try expectSamePicture(directory + "/picture.png", directory + "/picture.ppm")
        }
    }
}
