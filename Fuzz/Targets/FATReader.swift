import FAT
import SimulatedDisk

/// A FAT file system from a broken or hostile medium: the first 64 KiB of a larger disk.
func fuzzFATReader(_ bytes: [UInt8]) {
    let size = 1 << 20
    let disk = SimulatedDisk(
        Array(bytes.prefix(1 << 16)) + [UInt8](repeating: 0, count: size - min(bytes.count, 1 << 16)))
    guard let reader = try? FATReader(disk) else { return }
    for path in ["grub/grubenv", "manifest", "a"] {
        guard let entry = try? reader.entry(path), !entry.isDirectory else { continue }
        guard let stretches = try? reader.stretches(of: entry, path) else { continue }
        check(stretches.reduce(0) { $0 + $1.count } == UInt64(entry.size), "a file's stretches are as long as it is")
        check(
            stretches.allSatisfy { $0.offset + $0.count <= UInt64(size) }, "a file's stretches lie on the disk")
    }
    if let contents = try? reader.contents("grub/grubenv", limit: 1024) {
        check(contents.count <= 1024, "no more is read than was allowed")
    }
}
