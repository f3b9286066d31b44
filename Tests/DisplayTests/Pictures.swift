import Glibc
import TestFiles
import Testing

func exists(_ path: String) -> Bool { access(path, X_OK) == 0 }

func writeFile(_ path: String, _ bytes: [UInt8]) throws {
    let file = try #require(fopen(path, "w"))
    defer { fclose(file) }
    #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
}

/// Whether Python can read pictures here.
let hasPillow = (try? run("/usr/bin/python3", ["-c", "import PIL"])) == 0

/// Compares two picture files pixel by pixel, as another program reads them.
func expectSamePicture(_ one: String, _ other: String, tolerance: Int = 0) throws {
    let script = """
        import sys
        from PIL import Image, ImageChops
        a, b = (Image.open(name).convert("RGB") for name in sys.argv[1:3])
        assert a.size == b.size, (a.size, b.size)
        worst = max(high for low, high in ImageChops.difference(a, b).getextrema())
        assert worst <= int(sys.argv[3]), worst
        """
    #expect(try run("/usr/bin/python3", ["-c", script, one, other, "\(tolerance)"]) == 0)
}
