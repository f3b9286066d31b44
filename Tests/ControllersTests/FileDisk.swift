import BlockEngine
import CLinux
import Linux
import TestFiles
import Testing

/// Runs a test with a disk over a file of 8 MiB.
func withFileDisk(_ body: (FileBlockBackend) throws -> Void) throws {
    try withTemporaryDirectory { directory in
        let path = "\(directory)/disk"
        let file = try Descriptor(opening: path, [.readWrite, .create, .truncate])
        #expect(ftruncate(file.raw, 8 << 20) == 0)
        try body(FileBlockBackend([.whole(try BlockFile(adopting: file, cached: nil, name: path))]))
    }
}
