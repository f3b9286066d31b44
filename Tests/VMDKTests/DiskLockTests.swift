import CLinux
import Linux
import TestFiles
import Testing

@testable import VMDK

@Suite("Locks on disk images")
struct DiskLockTests {
    let other = LockHolder(name: "db02", process: 7, host: "esx2")

    func readers(_ owner: LockHolder) -> DiskImage.Options {
        var options = DiskImage.Options(owner: owner)
        options.isReadOnly = true
        return options
    }

    @Test("a second user of a disk is refused with the first one's name, by whatever path it comes")
    func refused() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.vmdk"
            try DiskImage.create(path, byteCount: 1 << 20)
            // A second descriptor for the same data, and a second name of the data.
            try Files.replace(directory + "/evil.vmdk", with: try DiskImage.descriptor(of: path).text(name: path))
            #expect(link(directory + "/disk-flat.vmdk", directory + "/raw.img") == 0)
            var layout: DiskLayout? = try DiskImage.open(path, .init(owner: owner))
            #expect(layout != nil)
            let holder = "VM \"web01\" (pid 412 on esx1)"
            #expect(
                message { _ = try DiskImage.open(path, .init(owner: other)) } == "disk \(path) is in use by \(holder)")
            #expect(message { _ = try DiskImage.open(path, readers(other)) } == "disk \(path) is in use by \(holder)")
            #expect(
                message { _ = try DiskImage.open(directory + "/evil.vmdk", .init(owner: other)) }
                    == "disk \(directory)/evil.vmdk is in use by \(holder)")
            // Here only the lock is found, not the name.
            #expect(
                message { _ = try DiskImage.open(directory + "/raw.img", .init(owner: other)) }
                    == "disk \(directory)/raw.img is in use by another process")
            layout = nil
            _ = try DiskImage.open(path, .init(owner: other))
            #expect(throws: SystemError.self) { try FileIdentity(of: directory + "/disk-flat.vmdk.lck") }
        }
    }

    @Test("a descriptor that is written anew keeps its disk locked")
    func rewritten() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.vmdk"
            try DiskImage.create(path, byteCount: 1 << 20)
            var layout = try DiskImage.open(path, .init(owner: owner))
            try layout.markChanged()
            #expect(message { _ = try DiskImage.open(path, .init(owner: other)) }.contains("is in use by VM \"web01\""))
            #expect(layout.byteCount == 1 << 20)
        }
    }

    @Test("readers share a disk and keep writers out")
    func readers() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, 4096)
            var layouts = [try DiskImage.open(path, readers(owner)), try DiskImage.open(path, readers(other))]
            #expect(
                message { _ = try DiskImage.open(path, .init(owner: owner)) }
                    == "disk \(path) is in use by VM \"web01\" (pid 412 on esx1), VM \"db02\" (pid 7 on esx2)")
            layouts.removeFirst()
            #expect(
                message { _ = try DiskImage.open(path, .init(owner: owner)) }
                    == "disk \(path) is in use by VM \"db02\" (pid 7 on esx2)")
            layouts.removeAll()
            _ = try DiskImage.open(path, .init(owner: owner))
            #expect(throws: SystemError.self) { try FileIdentity(of: path + ".lck") }
        }
    }

    @Test("what a crash left behind means nothing")
    func stale() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, 4096)
            try Files.replace(path + ".lck", with: other.record)
            #expect(LockFile.holders(of: path + ".lck", slots: 16).isEmpty)
            let layout = try DiskImage.open(path, .init(owner: owner))
            #expect(
                message { _ = try DiskImage.open(path, .init(owner: other)) }.hasSuffix(
                    "by VM \"web01\" (pid 412 on esx1)"))
            #expect(layout.byteCount == 4096)
        }
    }

    @Test("a place where no name can be left costs the name, not the lock")
    func noRecord() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, 4096)
            #expect(mkdir(path + ".lck", 0o700) == 0)
            let layout = try DiskImage.open(path, .init(owner: owner))
            #expect(
                message { _ = try DiskImage.open(path, .init(owner: other)) }
                    == "disk \(path) is in use by another process")
            #expect(layout.byteCount == 4096)
        }
    }

    @Test(
        "QEMU's tools and we keep out of each other's disks, and read together",
        .enabled(
            if: access("/usr/bin/qemu-img", X_OK) == 0 && access("/usr/bin/qemu-io", X_OK) == 0, "needs qemu-utils"))
    func qemu() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.vmdk"
            try DiskImage.create(path, byteCount: 1 << 20)
            func read() throws -> CInt { try run("/usr/bin/qemu-img", ["info", path]) }
            func write() throws -> CInt { try run("/usr/bin/qemu-io", ["-f", "vmdk", "-c", "write 0 512", path]) }
            // It takes the descriptor for what it is, and nobody keeps it out.
            #expect(try read() == 0)
            #expect(try write() == 0)
            do {
                let layout = try DiskImage.open(path, .init(owner: owner))
                #expect(try read() != 0)
                #expect(try write() != 0)
                #expect(layout.byteCount == 1 << 20)
            }
            do {
                let layout = try DiskImage.open(path, readers(owner))
                #expect(try read() == 0)
                #expect(try write() != 0)
                #expect(layout.byteCount == 1 << 20)
            }
            // The bytes a reader of QEMU's locks: it reads, and lets nobody write.
            let held = try Descriptor(opening: directory + "/disk-flat.vmdk", .readWrite)
            #expect(try held.tryLock(.shared, 100..<101))
            #expect(try held.tryLock(.shared, 201..<202))
            #expect(
                message { _ = try DiskImage.open(path, .init(owner: owner)) }.hasSuffix("is in use by another process"))
            _ = try DiskImage.open(path, readers(owner))
        }
    }

    @Test(
        "a block device is opened with its size, and is refused with the holder's name",
        .enabled(if: getuid() == 0 && access("/sbin/losetup", X_OK) == 0, "needs root and loop devices"))
    func blockDevice() throws {
        try withLoopDevice { device in
            let layout = try DiskImage.open(device, .init(owner: owner))
            #expect(layout.byteCount == 1 << 20 && layout.format == .raw)
            for options in [readers(other), .init(owner: other)] {
                #expect(
                    message { _ = try DiskImage.open(device, options) }
                        == "disk \(device) is in use by VM \"web01\" (pid 412 on esx1)")
            }
            withExtendedLifetime(layout) {}
        }
    }

    @Test(
        "a block device the host itself has claimed is refused",
        .enabled(if: getuid() == 0 && access("/sbin/losetup", X_OK) == 0, "needs root and loop devices"))
    func claimedDevice() throws {
        try withLoopDevice { device in
            // What a mount does: the kernel's claim without our lock.
            let claim = try Descriptor(opening: device, [.readWrite, .exclusive])
            #expect(
                message { _ = try DiskImage.open(device, .init(owner: other)) }
                    == "disk \(device): the host itself uses it (mounted, or part of a volume)")
            #expect(claim.raw >= 0)
        }
    }

    /// Runs `body` with a loop device of 1 MiB; not at all if none is free.
    func withLoopDevice(_ body: (String) throws -> Void) throws {
        try withTemporaryDirectory { directory in
            let file = directory + "/disk.img"
            try makeFile(file, 1 << 20)
            // The first free one; whatever is in use refuses.
            let devices = (0..<8).map { "/dev/loop\($0)" }
            guard let device = try devices.first(where: { try run("/sbin/losetup", [$0, file]) == 0 }) else { return }
            defer { _ = try? run("/sbin/losetup", ["-d", device]) }
            try body(device)
        }
    }
}
